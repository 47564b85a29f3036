"""The gateway's end of the gateway socket: connects, comes back when the daemon was away, and keeps order."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from brainkernel import metrics
from brainkernel.errors import ProtocolError
from brainkernel.link.frames import FrameBuffer, decode, frame_of, peer_of
from brainkernel.link.messages import (
    Alerts,
    Ask,
    FiguresNow,
    FiguresPlease,
    FromDaemon,
    FromGateway,
    Hello,
    LocalModelOnly,
    Read,
    ReadAnswered,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 5.0
SEND_TIMEOUT_S = 5.0  # the daemon reads in its loop; one that does not read for so long is stuck
FIGURES_KEPT_S = 0.25
ASKS_REMEMBERED = 256  # of their ids: a question is paid for once
_READ_BYTES = 1 << 16

# The union as a schema: msgspec takes it, but mypy has no name for the type of a union.
_FROM_DAEMON: type[FromDaemon] = FromDaemon  # type: ignore[assignment]


class DaemonLink:
    """One connection to the daemon at a time, kept up until `stop` is set.

    `on_ask` and `on_order` are called in the link's thread and must not block for long; `hello` makes the greeting for each new connection.
    """

    def __init__(
        self,
        path: Path,
        *,
        daemon_uid: int,
        on_ask: Callable[[Ask], None],
        on_order: Callable[[Alerts | LocalModelOnly], None],
        hello: Callable[[], Hello],
        figures: metrics.Figures,
        say: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        """`daemon_uid`: whose socket it must be (SO_PEERCRED); anybody else is not talked to."""
        self._path = path
        self._daemon_uid = daemon_uid
        self._on_ask = on_ask
        self._on_order = on_order
        self._hello = hello
        self._figures = figures
        self._say = say
        self._stop = stop
        self._socket: socket.socket | None = None
        self._sending = threading.Lock()
        self._news = threading.Condition()
        self._figures_now: dict[str, Any] | None = None
        self._figures_at = 0.0
        self._asking = False
        self._read_ids = itertools.count(1)
        self._reads: dict[int, ReadAnswered | None] = {}  # asked for, and answered or not yet
        self._last_said = ""
        self._asked: deque[str] = deque(maxlen=ASKS_REMEMBERED)

    @property
    def connected(self) -> bool:
        """Whether the daemon is there now."""
        return self._socket is not None

    def run(self) -> None:
        """Connect, serve, come back: until stopped."""
        backoff_s = FIRST_BACKOFF_S
        while not self._stop.is_set():
            sock = self._connect()
            if sock is not None:
                backoff_s = FIRST_BACKOFF_S
                self._serve(sock)
            self._stop.wait(backoff_s)
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    def close(self) -> None:
        """End the connection, so that `run` returns once `stop` is set."""
        sock = self._socket
        if sock is not None:
            _shut_down(sock)

    def send(self, message: FromGateway) -> bool:
        """Send to the daemon; False if it is not there (any more): whatever it was, it is then of no use."""
        frame = frame_of(message)
        with self._sending:
            sock = self._socket
            if sock is None:
                return False
            try:
                sock.sendall(frame)
            except OSError:
                _shut_down(sock)  # the reader notices and cleans up
                return False
        return True

    def daemon_figures(self, timeout_s: float) -> dict[str, Any] | None:
        """Ask the daemon for its figures; None if it is away or does not answer in time.

        Several askers at once, or within `FIGURES_KEPT_S`, share one answer: the daemon gives them no faster.
        """
        with self._news:
            if self._figures_now is not None and self.connected and time.monotonic() - self._figures_at < FIGURES_KEPT_S:
                return self._figures_now
            if not self._asking:
                self._figures_now = None
                self._asking = True
                if not self.send(FiguresPlease()):
                    self._asking = False
                    return None
            self._news.wait_for(lambda: self._figures_now is not None or not self._asking, timeout_s)
            self._asking = False
            return self._figures_now

    def read(self, question: Read, timeout_s: float) -> ReadAnswered:
        """Put a question of any thread to the daemon, with an id of its own; `error` is `away` or `timeout` without an answer."""
        number = next(self._read_ids) & 0xFFFFFFFF
        with self._news:
            self._reads[number] = None
        try:
            if not self.send(msgspec.structs.replace(question, id=number)):
                return ReadAnswered(id=number, error="away")
            with self._news:
                self._news.wait_for(lambda: self._reads[number] is not None or not self.connected, timeout_s)
                return self._reads[number] or ReadAnswered(id=number, error="timeout" if self.connected else "away")
        finally:
            with self._news:
                del self._reads[number]

    def _connect(self) -> socket.socket | None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(SEND_TIMEOUT_S)
            sock.connect(str(self._path))
            uid = peer_of(sock).uid
        except OSError as error:
            sock.close()
            self._say_once(f"daemon away: {self._path}: {error.strerror or error}")
            return None
        if uid != self._daemon_uid:
            sock.close()
            self._figures.add(metrics.PROTOCOL_ERRORS, "daemon", "wrong_peer")
            self._say_once(f"{self._path} belongs to uid {uid}, not to the daemon's {self._daemon_uid}: not talking to it")
            return None
        return sock

    def _serve(self, sock: socket.socket) -> None:
        with self._sending:
            self._socket = sock
        self._figures.set(metrics.DAEMON_CONNECTED, 1)
        self._say_once("connected to the daemon")
        try:
            self.send(self._hello())
            self._read(sock)
        except ProtocolError as error:
            self._figures.add(metrics.PROTOCOL_ERRORS, "daemon", "malformed")
            self._say_once(f"the daemon broke the protocol: {error}")
        finally:
            with self._sending:
                self._socket = None
                sock.close()
            self._figures.set(metrics.DAEMON_CONNECTED, 0)
            with self._news:
                self._asking = False
                self._news.notify_all()

    def _read(self, sock: socket.socket) -> None:
        buffer = FrameBuffer()
        while not self._stop.is_set():
            try:
                data = sock.recv(_READ_BYTES)
            except TimeoutError:
                continue  # silence is normal
            except OSError:
                return
            if not data:
                return
            for body in buffer.feed(data):
                self._take(decode(body, _FROM_DAEMON))

    def _take(self, message: FromDaemon) -> None:
        match message:
            case Ask():
                if message.id in self._asked:
                    self._figures.add(metrics.PROTOCOL_ERRORS, "daemon", "duplicate_id")
                    return
                self._asked.append(message.id)
                self._on_ask(message)
            case FiguresNow():
                self._take_figures(message)
            case ReadAnswered():
                self._take_read(message)
            case _:
                self._on_order(message)

    def _take_figures(self, message: FiguresNow) -> None:
        with self._news:
            if not self._asking:  # also when they come too late: whoever asked has gone on
                self._figures.add(metrics.PROTOCOL_ERRORS, "daemon", "unasked")
                return
            self._figures_now, self._figures_at = message.figures, time.monotonic()
            self._asking = False
            self._news.notify_all()

    def _take_read(self, message: ReadAnswered) -> None:
        with self._news:
            if self._reads.get(message.id, message) is not None:
                self._figures.add(metrics.PROTOCOL_ERRORS, "daemon", "unasked")
                return
            self._reads[message.id] = message
            self._news.notify_all()

    # A daemon that is away for an hour is one line, not one for each try.
    def _say_once(self, text: str) -> None:
        if text != self._last_said:
            self._last_said = text
            self._say(text)


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself
