"""The control socket's server: one request, one answer, then the end of the connection.

Who asks is taken from SO_PEERCRED: root may do everything, others who can open the socket (its group) may read.
A client that is slow, silent, oversized or malformed costs one of a bounded number of places until its deadline,
and nothing else: the daemon's loop never waits for it. Readers cannot take all places: root can always pause.
"""

from __future__ import annotations

import contextlib
import grp
import logging
import os
import select
import socket
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from brainkernel.errors import BrainKernelError, PermissionDeniedError, ProtocolError, UsageError
from brainkernel.link.control import CHANGING, READING
from brainkernel.link.frames import FrameBuffer, Peer, decode, frame_of, peer_of, received
from brainkernel.link.messages import ControlRequest, ControlResponse
from brainkernel.metrics import PROTOCOL_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.clock import Clock
    from brainkernel.metrics import Figures

LOG = logging.getLogger(__name__)
READER_GROUP = "brainkernel"
CLIENTS_MAX = 32
READERS_MAX = 24  # of all who are not root together
READERS_MAX_PER_USER = 8
ACCEPTS_PER_WAKEUP = 8  # a flood of connections takes that many turns of the loop fewer
MAX_REQUEST_BYTES = 16 << 10
ASKING_NS = 5_000_000_000  # a client sends its request as soon as it is connected
PATIENCE_NS = 30_000_000_000  # release of many limits may take that long, and a person at a prompt no longer waits


class Commands(Protocol):
    """What the agent does when asked."""

    def handle(self, request: ControlRequest, peer: Peer, respond: Callable[[ControlResponse], None]) -> None:
        """Do it and call `respond` once, now or later. Raises BrainKernelError for what is wrong with the request."""
        ...


@dataclass(slots=True)
class _Client:
    sock: socket.socket
    peer: Peer
    deadline_ns: int
    incoming: FrameBuffer = field(default_factory=lambda: FrameBuffer(MAX_REQUEST_BYTES))
    outgoing: bytearray = field(default_factory=bytearray)
    asked: bool = False


class ControlServer:
    """Watch `fileno()` for reading and call `on_readable()`; call `expire()` about once a second."""

    def __init__(
        self, path: Path, commands: Commands, clock: Clock, figures: Figures, *, identify: Callable[[socket.socket], Peer] = peer_of
    ) -> None:
        """Listen at `path`, mode 0660, for the group `brainkernel` where there is one. Raises OSError."""
        self._identify = identify
        self._path = path
        self._commands = commands
        self._clock = clock
        self._figures = figures
        self._clients: dict[int, _Client] = {}
        self._listener = _listen(path)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)

    def fileno(self) -> int:
        """The one descriptor to watch."""
        return self._epoll.fileno()

    def on_readable(self) -> None:
        """Accept, read, handle and write what is possible now."""
        for fd, events in self._epoll.poll(0):
            if fd == self._listener.fileno():
                self._accept()
            elif (client := self._clients.get(fd)) is not None:
                if events & select.EPOLLOUT:
                    self._write(client)
                elif events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                    self._read(client)

    def expire(self) -> None:
        """Drop clients that took too long."""
        now_ns = self._clock.boot_ns()
        for client in list(self._clients.values()):
            if now_ns >= client.deadline_ns:
                self._error(client, "slow")

    def close(self) -> None:
        """Stop listening and drop everybody."""
        for client in list(self._clients.values()):
            self._drop(client)
        self._epoll.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_WAKEUP):
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return
            peer = self._identify(sock)
            if not self._has_place_for(peer):
                self._figures.add(PROTOCOL_ERRORS, "control", "too_many")
                sock.close()
                continue
            sock.setblocking(False)
            self._clients[sock.fileno()] = _Client(sock, peer, self._clock.boot_ns() + ASKING_NS)
            self._epoll.register(sock, select.EPOLLIN)

    def _has_place_for(self, peer: Peer) -> bool:
        if peer.uid == 0:
            return len(self._clients) < CLIENTS_MAX
        readers = [client.peer.uid for client in self._clients.values() if client.peer.uid != 0]
        return len(readers) < READERS_MAX and readers.count(peer.uid) < READERS_MAX_PER_USER

    def _read(self, client: _Client) -> None:
        data = received(client.sock)
        if data is None:
            return
        if not data:
            self._drop(client)
            return
        if client.asked:
            self._error(client, "second_request")
            return
        try:
            for body in client.incoming.feed(data):
                client.asked = True
                client.deadline_ns = self._clock.boot_ns() + PATIENCE_NS
                self._handle(client, decode(body, ControlRequest))
                return
        except ProtocolError:
            self._error(client, "malformed")

    def _handle(self, client: _Client, request: ControlRequest) -> None:
        try:
            _check_permitted(request.command, client.peer)
            self._commands.handle(request, client.peer, lambda response: self._respond(client, response))
        except BrainKernelError as error:
            self._respond(client, ControlResponse(exit_code=error.exit_code, error=str(error)))
        except Exception:  # what a reader sends may cost that reader an answer, never the host its agent
            LOG.exception("%s failed by a fault of the daemon", request.command)
            self._figures.add(PROTOCOL_ERRORS, "control", "fault")
            self._respond(client, ControlResponse(exit_code=1, error="a fault of the daemon; see `journalctl -u brainkernel`"))

    def _respond(self, client: _Client, response: ControlResponse) -> None:
        if self._clients.get(client.sock.fileno()) is not client:
            return  # gone while it was being done
        try:
            client.outgoing += frame_of(response)
        except ProtocolError:
            client.outgoing += frame_of(ControlResponse(exit_code=1, error="the answer is too large; ask for less with --limit"))
        self._write(client)

    def _write(self, client: _Client) -> None:
        try:
            sent = client.sock.send(client.outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        del client.outgoing[:sent]
        if client.outgoing:
            self._epoll.modify(client.sock, select.EPOLLOUT)
        else:
            self._drop(client)

    def _error(self, client: _Client, cause: str) -> None:
        self._figures.add(PROTOCOL_ERRORS, "control", cause)
        self._drop(client)

    def _drop(self, client: _Client) -> None:
        with contextlib.suppress(KeyError):
            del self._clients[client.sock.fileno()]
            self._epoll.unregister(client.sock)
        client.sock.close()


def _check_permitted(command: str, peer: Peer) -> None:
    if command not in CHANGING | READING:
        msg = "the daemon does not know this command; is it older than the client?"
        raise UsageError(msg)
    if command in CHANGING and peer.uid != 0:
        msg = f"{command} changes the host and needs root"
        raise PermissionDeniedError(msg)


def _listen(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(str(path))
        path.chmod(0o660)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(READER_GROUP).gr_gid)
        listener.listen(CLIENTS_MAX)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
