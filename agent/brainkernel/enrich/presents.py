"""What a process shows or plays to a person: the devices it holds open, and the display and sound servers it is connected to."""

from __future__ import annotations

import re
import socket
import struct
from typing import TYPE_CHECKING

from brainkernel.enrich.procfs import read_open_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A render node (/dev/dri/renderD128) is not among them: miners compute with it, nobody sees it.
_DEVICES = re.compile(r"/dev/(dri/card\d+|snd/(?:pcm|seq)[A-Za-z0-9]*|input/event\d+|fb\d+)")
_SERVERS = re.compile(r"@?/(?:tmp/\.X11-unix/X\d+|run/user/\d+/(?:wayland-\d+|pipewire-\d+|pulse/native))")
_SOCKET = re.compile(r"socket:\[(\d+)\]")
MAX_FILES = 512
MAX_SOCKETS = 64

# include/uapi/linux/sock_diag.h and unix_diag.h
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_SHOW_NAME, _SHOW_PEER = 1, 4
_ATTRIBUTE_NAME, _ATTRIBUTE_PEER = 0, 2
_NO_COOKIE = 0xFFFF_FFFF
_HEADER = struct.Struct("=LHHLL")  # nlmsghdr
_REQUEST = struct.Struct("=BBHLLLLL")  # unix_diag_req
_ANSWER_BYTES = 16  # unix_diag_msg, before its attributes


def read_presents(proc_root: Path, tgid: int, peer_name: Callable[[int], str] | None = None) -> str:
    """Name one thing by which a person sees or hears the process; "" if nothing is found, or it has ended.

    `peer_name` gives the path to which a Unix socket (its inode) is connected; without it the kernel is asked.
    """
    files = [name for _, name in read_open_files(f"{proc_root}/{tgid}/fd", MAX_FILES)]
    for name in files:
        if _DEVICES.fullmatch(name):
            return name
    inodes = [int(match[1]) for name in files if (match := _SOCKET.fullmatch(name))]
    with _Peers(peer_name) as ask:
        for inode in inodes[:MAX_SOCKETS]:
            if _SERVERS.fullmatch(name := ask(inode)):
                return name
    return ""


class _Peers:
    def __init__(self, given: Callable[[int], str] | None) -> None:
        self._given = given
        self._socket: socket.socket | None = None

    def __enter__(self) -> Callable[[int], str]:
        return self._given or self._name_of

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def _name_of(self, inode: int) -> str:
        try:
            peer = self._ask(inode, _SHOW_PEER).get(_ATTRIBUTE_PEER)
            name = self._ask(struct.unpack("=L", peer)[0], _SHOW_NAME).get(_ATTRIBUTE_NAME) if peer else None
        except (OSError, struct.error):
            return ""  # no such socket of this kind, or the kernel has no unix_diag
        text = (name or b"").decode(errors="replace").rstrip("\0")
        return f"@{text[1:]}" if text.startswith("\0") else text

    def _ask(self, inode: int, show: int) -> dict[int, bytes]:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
            self._socket.settimeout(1.0)
        request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFF_FFFF, inode, show, _NO_COOKIE, _NO_COOKIE)
        self._socket.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + request)
        answer = self._socket.recv(8192)
        length, kind, *_ = _HEADER.unpack_from(answer)
        if kind != _SOCK_DIAG_BY_FAMILY:
            return {}  # an error message: the socket is gone, or of another family
        return _attributes(answer[_HEADER.size + _ANSWER_BYTES : length])


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:  # noqa: PLR2004 # an attribute's header
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:  # noqa: PLR2004
            break
        found[kind] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found
