"""Where to listen: an address and port, or the path of a Unix socket."""

from __future__ import annotations

import contextlib
import grp
import ipaddress
import os
import socket
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 256
SOCKET_MODE = 0o660
SOCKET_GROUP = "brainkernel"  # whose members may look; see packaging/deb


def address_of(listen: str) -> tuple[str, int]:
    """Split `address:port` or `[address]:port`; the address must be a number. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 # 16 bits
        msg = f'http.listen: {listen!r} is not "address:port"'
        raise ValueError(msg)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != "localhost":
            msg = f"http.listen: {host!r} is not an IP address"
            raise ValueError(msg) from None
        host = "127.0.0.1"
    return host, int(port)


def listen_tcp(listen: str) -> socket.socket:
    """Listen at `address:port`. Raises ValueError for a bad address, OSError where that cannot be."""
    host, port = address_of(listen)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    return _bound(sock, (host, port), reuse=True)


def listen_unix(path: Path) -> socket.socket:
    """Listen at a path for its owner and group, replacing a socket that an earlier run left. Raises OSError where that cannot be.

    Root gives it to the group `brainkernel` where there is one: those who may look at the control socket.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    sock = _bound(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), str(path), reuse=False)
    path.chmod(SOCKET_MODE)
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            os.chown(path, 0, grp.getgrnam(SOCKET_GROUP).gr_gid)
    return sock


def url_of(sock: socket.socket) -> str:
    """What a browser takes for this socket."""
    host, port = str(sock.getsockname()[0]), sock.getsockname()[1]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this host can reach it."""
    return ipaddress.ip_address(str(sock.getsockname()[0])).is_loopback


def _bound(sock: socket.socket, address: tuple[str, int] | str, *, reuse: bool) -> socket.socket:
    try:
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Not before chmod may anybody connect: with this umask the path is born closed.
        before = os.umask(0o177)
        try:
            sock.bind(address)
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        where = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        raise OSError(error.errno, os.strerror(error.errno or 0), where) from None
    return sock
