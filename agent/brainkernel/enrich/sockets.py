"""A process's connections on the Internet: which of its files are sockets (/proc/PID/fd), and what the kernel knows of them.

The kernel is asked by sock_diag(7) over a plain netlink socket: it can only list all sockets of the network namespace,
so a list is kept for a moment, and asked for only when a process has a socket that is not in it. pyroute2 has sock_diag, too, but
importing it brings asyncio, ssl and 20 MB into the daemon.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from brainkernel.enrich.procfs import read_open_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from brainkernel.clock import Clock

# include/uapi/linux/netlink.h, sock_diag.h, inet_diag.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLMSG = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states, an empty id
_ID = struct.Struct("!4x2H16s16s")  # of inet_diag_msg: after family, state, timer and retransmissions: ports and addresses
_INODE = struct.Struct("=68xI")  # the last field of inet_diag_msg
_TCP_STATES = 1 << 1 | 1 << 2 | 1 << 10  # established, connecting, listening: include/net/tcp_states.h
_LISTENING = 10
_UDP_STATES = 1 << 1 | 1 << 7  # connected, bound
_FRESH_NS = 1_000_000_000
_REST = 20  # times what a list took, before the next for a socket that is younger: a shell is put on its connection at once
_DUMP_BYTES_MAX = 4 << 20  # some 40,000 sockets: 15 ms; a host with more is told less
_RECEIVE_BYTES = 1 << 17
_FDS_MAX = 256
_SHOWN_MAX = 6
_STDIO = ("0", "1", "2")


@dataclass(frozen=True, slots=True)
class Connection:
    """One Internet socket. `remote` is "" for one that waits for others."""

    protocol: str
    local: str
    remote: str

    def __str__(self) -> str:
        return f"{self.protocol} {self.local} to {self.remote}" if self.remote else f"{self.protocol} listens on {self.local}"


@dataclass(frozen=True, slots=True)
class Connections:
    """What one process has. `stdio` is the far end of a connection that is its standard input or output."""

    shown: tuple[str, ...] = ()
    stdio: str = ""


NONE = Connections()


class Sockets:
    """Looks up the connections of processes. Missing (no right, no sock_diag, another network namespace): none are known."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_inode: dict[int, Connection] = {}
        self._elsewhere: set[int] = set()  # of another family or namespace, when last looked for
        self._listed_ns: int | None = None
        self._again_ns = 0

    def of_process(self, fd_directory: str) -> Connections:
        """Read the connections of the process with this /proc/PID/fd; never raises."""
        files = read_open_files(fd_directory, _FDS_MAX)
        inodes = {fd: int(target[8:-1]) for fd, target in files if target.startswith("socket:[")}
        if not inodes:
            return NONE
        if self._is_due(inodes.values()):
            self._list(inodes.values())
        found = {fd: connection for fd, inode in inodes.items() if (connection := self._by_inode.get(inode)) is not None}
        distinct = dict.fromkeys(map(str, found.values()))
        return Connections(tuple(distinct)[:_SHOWN_MAX], next((found[fd].remote for fd in _STDIO if fd in found), ""))

    def _is_due(self, inodes: Collection[int]) -> bool:
        now_ns = self._clock.boot_ns()
        if self._listed_ns is None or now_ns - self._listed_ns >= _FRESH_NS:
            return True
        return now_ns >= self._again_ns and any(i not in self._by_inode and i not in self._elsewhere for i in inodes)

    def _list(self, inodes: Collection[int]) -> None:
        began_ns = self._clock.boot_ns()
        self._by_inode = {}
        with contextlib.suppress(OSError):
            for family in (socket.AF_INET, socket.AF_INET6):
                for protocol, states in ((socket.IPPROTO_TCP, _TCP_STATES), (socket.IPPROTO_UDP, _UDP_STATES)):
                    self._by_inode.update(_dumped(family, protocol, states))
        self._elsewhere = {inode for inode in inodes if inode not in self._by_inode}
        self._listed_ns = self._clock.boot_ns()
        self._again_ns = self._listed_ns + _REST * (self._listed_ns - began_ns)


def _dumped(family: int, protocol: int, states: int) -> Iterator[tuple[int, Connection]]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as sock:
        sock.settimeout(0.05)
        request = _REQUEST.pack(family, protocol, 0, states)
        sock.send(_NLMSG.pack(_NLMSG.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + request)
        left = _DUMP_BYTES_MAX
        while left > 0:
            data = sock.recv(_RECEIVE_BYTES)
            left -= len(data)
            for kind, body in _messages(data):
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return
                if len(body) >= _INODE.size:
                    yield _INODE.unpack_from(body)[0], _connection_of(body, family, protocol)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _NLMSG.size <= len(data):
        length, kind, *_ = _NLMSG.unpack_from(data, at)
        if length < _NLMSG.size:
            return
        yield kind, data[at + _NLMSG.size : at + length]
        at += (length + 3) & ~3


def _connection_of(body: bytes, family: int, protocol: int) -> Connection:
    local_port, remote_port, local, remote = _ID.unpack_from(body)
    is_tcp = protocol == socket.IPPROTO_TCP
    waits = body[1] == _LISTENING if is_tcp else remote_port == 0
    return Connection(
        "tcp" if is_tcp else "udp", _address(local, local_port, family), "" if waits else _address(remote, remote_port, family)
    )


def _address(raw: bytes, port: int, family: int) -> str:
    address = ip_address(raw[:4] if family == socket.AF_INET else raw)
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004
