"""The daemon's end of the gateway socket: asks, and believes nothing.

The daemon listens, so that the privileged side owns the path. Whoever connects is judged by SO_PEERCRED; what
it sends is judged by the schema and by what was asked. Nothing a peer sends raises out of here, nothing here
blocks: one file descriptor for the daemon's loop stands for the listening socket and the one connection.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from brainkernel import metrics
from brainkernel.errors import ProtocolError
from brainkernel.link.claims import claims_of
from brainkernel.link.frames import READ_BYTES, FrameBuffer, Peer, decode, frame_of, peer_of, received
from brainkernel.link.messages import (
    AlertDelivered,
    Alerts,
    AlertsTaken,
    Answers,
    Ask,
    DecisionAsked,
    DecisionsAsked,
    FiguresNow,
    FromGateway,
    GatewayUse,
    Hello,
    LocalModelOnly,
    OverviewAsked,
    ProposedVerdict,
    Question,
    Read,
    ReadAnswered,
    SeriesAsked,
    Usage,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from brainkernel.clock import Clock
    from brainkernel.link.reads import Reads

MAX_FROM_GATEWAY_BYTES = 1 << 16  # 8 verdicts with reasons of 512 characters are some 20 KB
ACCEPTS_PER_WAKEUP = 4
FIGURES_MIN_INTERVAL_NS = 100_000_000  # a snapshot costs about a millisecond; nobody scrapes faster
LATE_KEPT_NS = 300 * 1_000_000_000  # an answer is still worth caching some minutes later
REMEMBERED_MAX = 1024  # ids, answered and late ones included
NEWS_MAX = 256  # of deliveries, until somebody asks: honest ones are a handful
HELLOS_MAX = 8  # within HELLOS_NS: one on connecting, and one whenever another model is found; each is told to people
HELLOS_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Answered:
    """The gateway's answer in time. One entry per question, or none at all and a `failure`.

    Verdicts are proposals and their reasons hostile text: escape them where they are shown.
    """

    id: str
    verdicts: tuple[ProposedVerdict | None, ...]
    failure: str
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Late:
    """An answer after its question had timed out: good for the cache only."""

    id: str
    verdicts: tuple[ProposedVerdict | None, ...]
    failure: str
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No answer within the deadline, or the gateway went away (then none will come late)."""

    id: str
    gateway_gone: bool = False


class _State(Enum):
    OPEN = auto()
    TIMED_OUT = auto()
    ANSWERED = auto()


@dataclass(slots=True)
class _Asked:
    count: int
    deadline_ns: int
    state: _State = _State.OPEN


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.incoming = FrameBuffer(MAX_FROM_GATEWAY_BYTES)
        self.outgoing = bytearray()


# The union as a schema: msgspec takes it, but mypy has no name for the type of a union.
_FROM_GATEWAY: type[FromGateway] = FromGateway  # type: ignore[assignment]


class Asker:
    """Puts questions to whichever gateway is connected and collects what comes back.

    Register `fileno()` for reading and call `on_readable()` when it is; call `poll()` at least once a second.
    `snapshot` makes the figures a gateway may ask for; `allows` decides who may be the gateway.
    """

    def __init__(
        self,
        path: Path,
        *,
        allows: Callable[[Peer], bool],
        figures: metrics.Figures,
        snapshot: Callable[[], dict[str, Any]],
        clock: Clock,
        mode: int = 0o666,
        max_outstanding: int = 64,
        max_unsent_bytes: int = 4 << 20,
    ) -> None:
        """Listen at `path`, replacing a socket that an earlier run left there. Raises OSError if that cannot be."""
        self._path = path
        self._allows = allows
        self._figures = figures
        self._snapshot = snapshot
        self._clock = clock
        self._max_outstanding = max_outstanding
        self._max_unsent_bytes = max_unsent_bytes
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._outcomes: list[Answered | Late | TimedOut] = []
        self._news: list[AlertsTaken | AlertDelivered] = []
        self._connection: _Connection | None = None
        self._figures_sent_ns = -FIGURES_MIN_INTERVAL_NS
        self._hellos_ns: deque[int] = deque(maxlen=HELLOS_MAX)
        self.hello: Hello | None = None
        self.claims: metrics.Figures | None = None  # what the gateway last said of itself
        self.reads: Reads | None = None  # what a gateway may read beside the figures; None: nothing yet
        self._listener = _listen(path, mode)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)

    def fileno(self) -> int:
        """The one descriptor to watch for reading: an epoll of all sockets here."""
        return self._epoll.fileno()

    @property
    def connected(self) -> bool:
        """Whether a gateway is there to be asked."""
        return self._connection is not None

    @property
    def outstanding(self) -> int:
        """How many batches wait for an answer within their deadline."""
        return sum(asked.state is _State.OPEN for asked in self._asked.values())

    def ask(self, questions: Sequence[Question], deadline_ms: int) -> str | None:
        """Send one batch and return its id; None if there is no gateway, it is behind, or the batch is too large."""
        if (connection := self._connection) is None:
            return self._not_asked("no_gateway")
        if self.outstanding >= self._max_outstanding:
            return self._not_asked("too_many")
        ask = Ask(os.urandom(16).hex(), tuple(questions), deadline_ms)
        try:
            frame = frame_of(ask)
        except ProtocolError:
            return self._not_asked("too_large")
        if len(connection.outgoing) + len(frame) > self._max_unsent_bytes:
            return self._not_asked("too_many")
        self._asked[ask.id] = _Asked(len(questions), self._clock.boot_ns() + deadline_ms * 1_000_000)
        self._figures.add(metrics.LLM_QUESTIONS, "asked")
        self._send(connection, frame)
        return ask.id

    def tell(self, message: Alerts | LocalModelOnly) -> bool:
        """Send what needs no answer by id; False if there is no gateway, it is behind, or the message is too large."""
        if (connection := self._connection) is None:
            return False
        try:
            frame = frame_of(message)
        except ProtocolError:
            return False
        if len(connection.outgoing) + len(frame) > self._max_unsent_bytes:
            return False
        self._send(connection, frame)
        return True

    def delivery_news(self) -> list[AlertsTaken | AlertDelivered]:
        """Hand over what the gateway said of alerts since the last call: claims, like all it says."""
        news, self._news = self._news, []
        return news

    def on_readable(self) -> None:
        """Accept, read and write what is possible now, without blocking."""
        for fd, events in self._epoll.poll(0):
            if fd == self._listener.fileno():
                self._accept()
                continue
            connection = self._connection
            if connection is None or fd != connection.sock.fileno():
                continue  # replaced by the accept above
            if events & select.EPOLLOUT:
                self._send(connection, b"")
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and connection is self._connection:
                self._read(connection)

    def poll(self, now_ns: int) -> list[Answered | Late | TimedOut]:
        """Hand over what came back since the last call, and what is overdue at `now_ns` (boot time)."""
        for identifier, asked in list(self._asked.items()):
            if asked.state is _State.OPEN and now_ns >= asked.deadline_ns:
                asked.state = _State.TIMED_OUT
                self._figures.add(metrics.LLM_QUESTIONS, "timed_out")
                self._outcomes.append(TimedOut(identifier))
            elif asked.state is not _State.OPEN and now_ns >= asked.deadline_ns + LATE_KEPT_NS:
                del self._asked[identifier]
        while len(self._asked) > REMEMBERED_MAX:
            self._asked.popitem(last=False)
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def close(self) -> None:
        """Stop listening, drop the gateway and remove the path."""
        if self._connection is not None:
            self._drop(self._connection)
        self._epoll.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _not_asked(self, fate: str) -> str | None:
        self._figures.add(metrics.LLM_QUESTIONS, fate)
        return None

    def _protocol_error(self, cause: str) -> None:
        self._figures.add(metrics.PROTOCOL_ERRORS, "gateway", cause)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_WAKEUP):
            try:
                sock, _address = self._listener.accept()
            except OSError:
                return  # nobody more, or gone again, or no descriptor left: epoll says so again
            if not self._allows(peer_of(sock)):
                self._protocol_error("wrong_peer")
                sock.close()
                continue
            sock.setblocking(False)
            if self._connection is not None:
                self._drop(self._connection)
            self._connection = _Connection(sock)
            self._epoll.register(sock, select.EPOLLIN)

    def _drop(self, connection: _Connection) -> None:
        self._epoll.unregister(connection.sock)
        connection.sock.close()
        self._connection = None
        self.hello = self.claims = None
        # An answer is only taken from the connection its question went to, so none of these can come any more.
        for identifier, asked in self._asked.items():
            if asked.state is _State.OPEN:
                self._figures.add(metrics.LLM_QUESTIONS, "gateway_gone")
                self._outcomes.append(TimedOut(identifier, gateway_gone=True))
        self._asked.clear()

    def _send(self, connection: _Connection, frame: bytes) -> None:
        connection.outgoing += frame
        try:
            sent = connection.sock.send(connection.outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        del connection.outgoing[:sent]
        self._epoll.modify(connection.sock, select.EPOLLIN | (select.EPOLLOUT if connection.outgoing else 0))

    def _read(self, connection: _Connection) -> None:
        data = received(connection.sock)
        if data is None:
            return
        if not data:
            self._drop(connection)
            return
        try:
            for body in connection.incoming.feed(data):
                self._take(connection, decode(body, _FROM_GATEWAY))
                if connection is not self._connection:
                    return  # dropped while it was being answered
        except ProtocolError:
            self._protocol_error("malformed")
            self._drop(connection)

    def _take(self, connection: _Connection, message: FromGateway) -> None:
        match message:
            case Answers():
                self._take_answers(message)
            case Hello():
                self._take_hello(message)
            case GatewayUse():
                self.claims = claims_of(message)
            case AlertsTaken() | AlertDelivered():
                if len(self._news) < NEWS_MAX:
                    self._news.append(message)
                else:
                    self._protocol_error("too_many")
            case SeriesAsked() | DecisionsAsked() | DecisionAsked() | OverviewAsked():
                self._answer_read(connection, message)
            case _:
                self._send_figures(connection)

    def _answer_read(self, connection: _Connection, question: Read) -> None:
        if len(connection.outgoing) > READ_BYTES:  # it asks and does not read
            self._protocol_error("too_often")
            return
        answer = self.reads.answer(question) if self.reads else ReadAnswered(id=question.id, error="not_there")
        if answer.error == "too_often":
            self._protocol_error("too_often")
        try:
            frame = frame_of(answer)
        except ProtocolError:
            frame = frame_of(ReadAnswered(id=question.id, error="too_large"))
        self._send(connection, frame)

    def _take_hello(self, hello: Hello) -> None:
        now_ns = self._clock.boot_ns()
        if len(self._hellos_ns) == HELLOS_MAX and now_ns - self._hellos_ns[0] < HELLOS_NS:
            self._protocol_error("too_often")
            return
        self._hellos_ns.append(now_ns)
        self.hello = hello

    def _send_figures(self, connection: _Connection) -> None:
        now_ns = self._clock.boot_ns()
        if now_ns - self._figures_sent_ns < FIGURES_MIN_INTERVAL_NS or connection.outgoing:
            self._protocol_error("too_often")
            return
        self._figures_sent_ns = now_ns
        with contextlib.suppress(ProtocolError):  # larger than a frame: the scrape goes without
            self._send(connection, frame_of(FiguresNow(self._snapshot())))

    def _take_answers(self, answers: Answers) -> None:
        asked = self._asked.get(answers.id)
        if asked is None or asked.state is _State.ANSWERED:
            self._protocol_error("unknown_id" if asked is None else "duplicate_id")
            return
        verdicts, failure = answers.verdicts, answers.failure
        if len(verdicts) != asked.count and not (failure and not verdicts):
            self._protocol_error("count_mismatch")
            verdicts, failure = (), "count_mismatch"
        verdicts = verdicts or (None,) * asked.count
        late = asked.state is _State.TIMED_OUT or self._clock.boot_ns() >= asked.deadline_ns
        if late and asked.state is _State.OPEN:
            self._figures.add(metrics.LLM_QUESTIONS, "timed_out")
            self._outcomes.append(TimedOut(answers.id))
        asked.state = _State.ANSWERED
        self._figures.add(metrics.LLM_QUESTIONS, "late" if late else "answered")
        self._outcomes.append((Late if late else Answered)(answers.id, verdicts, failure, answers.usage))


def _listen(path: Path, mode: int) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(ACCEPTS_PER_WAKEUP)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
