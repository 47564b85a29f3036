"""What a process shows or plays to a person: the devices it holds open, and the display and sound servers it is connected to.

Names alone prove nothing: anybody may bind `@/tmp/.X11-unix/X9`, or mount a file over /dev/snd in a namespace of their
own, and would be immune to caps. A device counts by its number, which only those whom the host lets open it can show; a
server counts if root or the user at a seat runs it, and its client if it runs as one of these: the real X server accepts
connections of strangers, too, before it asks them for a cookie. A program of the person at the seat can open a window
for real, so that nothing is gained by forging one.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.enrich.procfs import read_open_files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

# A render node (/dev/dri/renderD128) is not among them: miners compute with it, nobody sees it.
_DEVICES = re.compile(r"/dev/(?:(dri)/card\d+|(snd)/(?:pcm|seq)[A-Za-z0-9]*|(input)/event\d+|(fb)\d+)")
_MAJORS = {"dri": 226, "snd": 116, "input": 13, "fb": 29}  # Documentation/admin-guide/devices.txt
_RENDER_MINORS = 64  # of major 226: cards come before them
_SERVERS = re.compile(r"@?/(?:tmp/\.X11-unix/X\d+|run/user/\d+/(?:wayland-\d+|pipewire-\d+|pulse/native))")
_SOCKET = re.compile(r"socket:\[(\d+)\]")
MAX_FILES = 512
MAX_SOCKETS = 64

# include/uapi/linux/sock_diag.h and unix_diag.h
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_SHOW_NAME, _SHOW_PEER, _SHOW_UID = 1, 4, 0x40
_ATTRIBUTE_NAME, _ATTRIBUTE_PEER, _ATTRIBUTE_UID = 0, 2, 7  # the last since cae9910e7344 (v5.3); before it, no server counts
_NO_COOKIE = 0xFFFF_FFFF
_HEADER = struct.Struct("=LHHLL")  # nlmsghdr
_REQUEST = struct.Struct("=BBHLLLLL")  # unix_diag_req
_ANSWER_BYTES = 16  # unix_diag_msg, before its attributes


class Peer(NamedTuple):
    """The far end of a Unix socket: the name that its server bound, and who accepted the connection."""

    name: str
    uid: int


def read_presents(
    proc_root: Path,
    tgid: int,
    seat_users: Collection[int],
    *,
    peer_of: Callable[[int], Peer | None] | None = None,
    device_of: Callable[[str], int] | None = None,
) -> str:
    """Name one thing by which a person sees or hears the process; "" if nothing is found, or it has ended.

    `seat_users` are the users of the sessions that people sit at. `peer_of` gives the far end of a Unix socket (its
    inode) and `device_of` the device number of an open file; without them the kernel is asked.
    """
    folder = f"{proc_root}/{tgid}/fd"
    files = list(read_open_files(folder, MAX_FILES))
    for number, name in files:
        if (match := _DEVICES.fullmatch(name)) and _is_device(f"{folder}/{number}", match[match.lastindex or 0], device_of or _device_of):
            return name
    trusted = {0, *seat_users}
    if _user_of(proc_root / str(tgid)) not in trusted:
        return ""
    inodes = [int(match[1]) for _, name in files if (match := _SOCKET.fullmatch(name))]
    with _Peers(peer_of) as ask:
        for inode in inodes[:MAX_SOCKETS]:
            if (peer := ask(inode)) and peer.uid in trusted and _SERVERS.fullmatch(peer.name):
                return peer.name
    return ""


def _is_device(file: str, kind: str, device_of: Callable[[str], int]) -> bool:
    try:
        device = device_of(file)
    except OSError:
        return False  # closed meanwhile
    return os.major(device) == _MAJORS[kind] and (kind != "dri" or os.minor(device) < _RENDER_MINORS)


def _device_of(file: str) -> int:
    return os.stat(file).st_rdev  # noqa: PTH116 # through the link, to what is open


# The owner of the directory itself is the effective user, also where the process may not be dumped: proc_pid(5).
def _user_of(process: Path) -> int | None:
    try:
        return process.stat().st_uid
    except OSError:
        return None


class _Peers:
    def __init__(self, given: Callable[[int], Peer | None] | None) -> None:
        self._given = given
        self._socket: socket.socket | None = None

    def __enter__(self) -> Callable[[int], Peer | None]:
        return self._given or self._peer_of

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def _peer_of(self, inode: int) -> Peer | None:
        try:
            peer = self._ask(inode, _SHOW_PEER).get(_ATTRIBUTE_PEER)
            found = self._ask(struct.unpack("=L", peer)[0], _SHOW_NAME | _SHOW_UID) if peer else {}
            name, uid = found.get(_ATTRIBUTE_NAME), found.get(_ATTRIBUTE_UID)
            if name is None or uid is None:
                return None
            text = name.decode(errors="replace").rstrip("\0")
            return Peer(f"@{text[1:]}" if text.startswith("\0") else text, struct.unpack("=L", uid)[0])
        except (OSError, struct.error):
            return None  # no such socket of this kind, or the kernel has no unix_diag

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
