"""The three ends of our sockets, each held by somebody who may write anything: for hypothesis, and for atheris.

Each `Bed` takes bytes as they would come from the other side and raises AssertionError when a promise is broken;
whatever else it raises has left the code under test, and that is broken, too.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Protocol

from brainkernel.clock import SimulatedClock
from brainkernel.control import ControlServer
from brainkernel.errors import ProtocolError
from brainkernel.gateway.daemon_link import DaemonLink
from brainkernel.link.asker import Answered, Asker, Late
from brainkernel.link.control import CHANGING, READING, SOCKET_NAME
from brainkernel.link.frames import FrameBuffer, Peer, decode, frame_of
from brainkernel.link.messages import (
    Alerts,
    AlertsTaken,
    Answers,
    Ask,
    ControlResponse,
    FiguresNow,
    FiguresPlease,
    Hello,
    LocalModelOnly,
    OverviewAsked,
    ProposedVerdict,
    Question,
    ReadAnswered,
)  # fmt: skip
from brainkernel.metrics import PROTOCOL_ERRORS, Figures
from brainkernel.model import Category
from hypothesis import strategies as st
from support.control_side import RecordingAgent, commands_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

READER, ROOT = Peer(1, 1000, 1000), Peer(1, 0, 0)
QUESTION = Question(exe="/usr/bin/updatedb", argv=("updatedb",), comm="updatedb", parents=(), uid=0, cwd="/", cgroup="/")
VERDICT = ProposedVerdict(Category.BACKGROUND, 0.9, "indexes files")
HUGE = (1 << 24).to_bytes(4, "big")  # the length of a frame that nobody takes

# What the other side may write: nonsense, nonsense in a frame, and what is nearly right.
_noise = st.binary(max_size=60)
_framed_noise = _noise.map(lambda body: len(body).to_bytes(4, "big") + body)
_texts = st.text(st.characters(codec="ascii"), max_size=64)
# Hypothesis prefers small numbers; the edges are where C libraries differ about them.
_edges = st.sampled_from([-1, 0, 2, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1])
_values = st.one_of(
    _edges,
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=300),
    st.sampled_from([None, True, False]),
)
_names = ["id", "limit", "program", "before_id", "active_only", "name", "good", "label", "seconds", "always", "text", "result"]
_requests = st.builds(
    lambda command, arguments: frame_of({"command": command, "arguments": arguments}),
    st.sampled_from(sorted(READING | CHANGING)) | st.text(max_size=40),
    st.dictionaries(st.sampled_from(_names) | st.text(max_size=8), _values, max_size=4) | st.builds(lambda n: {"id": n}, _edges),
)
_between = st.one_of(
    st.builds(lambda i, n: frame_of(Answers(i, (VERDICT,) * n)), _texts, st.integers(0, 8)),
    st.builds(lambda i: frame_of(Ask(f"{i:016x}", (QUESTION,), 10)), st.integers(0, 3)),
    st.builds(lambda names: frame_of(AlertsTaken(tuple(names))), st.lists(_texts, max_size=3)),
    st.sampled_from(
        [FiguresPlease(), Hello("x", "y", "z"), FiguresNow({"x": 1}), LocalModelOnly(on=True), OverviewAsked(id=1), ReadAnswered(id=1)]
    ).map(frame_of),
)
_nonsense = _noise | _framed_noise | st.just(HUGE)
CONVERSATIONS = {
    "control": st.lists(_requests | _nonsense, max_size=3).map(b"".join),
    "asker": st.lists(_between | _nonsense, max_size=8).map(b"".join),
    "gateway": st.lists(_between | _nonsense, max_size=8).map(b"".join),
}


class Bed(Protocol):
    """One end of a socket with everything behind it."""

    def suffer(self, sent: bytes) -> None:
        """Take a whole conversation of the other side. Raises AssertionError for a broken promise."""
        ...


class ControlBed:
    """The control socket. Clients connect as whoever `peer` is."""

    def __init__(self, directory: Path, commands: object, agent: RecordingAgent, figures: Figures) -> None:
        self.agent = agent
        self.peer = READER
        self.clock = SimulatedClock(now_boot_ns=10**12)
        self.figures = figures
        self.path = directory / SOCKET_NAME
        self.server = ControlServer(self.path, commands, self.clock, figures, identify=lambda _sock: self.peer)  # type: ignore[arg-type]

    def connect(self, peer: Peer = READER) -> socket.socket:
        """Open a connection and let the server accept it."""
        self.peer = peer
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(str(self.path))
        self.turn()
        return client

    def turn(self) -> None:
        """Let the server do all that it can do now."""
        while select.select([self.server], [], [], 0)[0]:
            self.server.on_readable()

    def errors(self, cause: str) -> float:
        """How many messages were dropped for this cause."""
        return self.figures.value(PROTOCOL_ERRORS, "control", cause)

    def advance(self, seconds: float) -> None:
        """Let time pass, with the daemon's look at it each second."""
        self.clock.now_boot_ns += int(seconds * 1e9)
        self.server.expire()

    def suffer(self, sent: bytes) -> None:
        """A reader gets one answer that keeps to the schema, or none; changes nothing; and leaves the server as it was."""
        with self.connect() as client:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(sent)
            self.turn()
            answer = _all_that_came(client)
        self.turn()
        for response in (decode(body, ControlResponse) for body in FrameBuffer().feed(answer)):
            assert response.exit_code in range(5), response
        assert self.errors("fault") == 0
        assert self.agent.asked == []  # a reader's word moves nothing
        assert not self.server._clients


class AskerBed:
    """The daemon's end of the gateway socket; the gateway is hostile."""

    def __init__(self, directory: Path) -> None:
        self.clock = SimulatedClock(now_boot_ns=10**12)
        self.figures = Figures()
        self.path = directory / "gateway.sock"
        self.asker = Asker(
            self.path, allows=lambda p: p.uid == os.getuid(), figures=self.figures, snapshot=self.figures.snapshot, clock=self.clock
        )

    def suffer(self, sent: bytes) -> None:
        """No verdict appears for what was not asked, and an answer by a guessed id does not exist."""
        self.clock.now_boot_ns += 10**9
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self.path))
            self.asker.on_readable()
            asked = self.asker.ask([QUESTION], 3000)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.sendall(sent)
            while select.select([self.asker], [], [], 0)[0] and self.asker.connected:
                self.asker.on_readable()
        self.asker.on_readable()
        outcomes = self.asker.poll(self.clock.boot_ns())
        assert not any(isinstance(outcome, Answered | Late) for outcome in outcomes)
        assert all(outcome.id == asked for outcome in outcomes)


class GatewayBed:
    """The gateway's end of the same socket; whoever has the path is hostile."""

    def __init__(self, directory: Path) -> None:
        self.figures = Figures()
        self.asked: list[Ask] = []
        self.ordered: list[Alerts | LocalModelOnly] = []
        self.said: list[str] = []
        self.link = DaemonLink(
            directory / "gateway.sock",
            daemon_uid=os.getuid(),
            on_ask=self.asked.append,
            on_order=self.ordered.append,
            hello=lambda: Hello("none", "", ""),
            figures=self.figures,
            say=self.said.append,
            stop=threading.Event(),
        )

    def errors(self, cause: str) -> float:
        """How many messages were dropped for this cause."""
        return self.figures.value(PROTOCOL_ERRORS, "daemon", cause)

    def suffer(self, sent: bytes) -> None:
        """Every question is taken once, figures that nobody asked for are dropped, and the link ends in order."""
        self.asked.clear()
        ours, theirs = socket.socketpair()
        with theirs, ours:
            theirs.sendall(sent)
            theirs.shutdown(socket.SHUT_WR)
            self.link._serve(ours)
        assert not self.link.connected
        assert len({ask.id for ask in self.asked}) == len(self.asked)
        assert self.link._figures_now is None


@contextlib.contextmanager
def control_bed(directory: Path) -> Iterator[ControlBed]:
    agent, figures = RecordingAgent(), Figures()
    with commands_of(agent, directory, figures) as commands:
        bed = ControlBed(directory, commands, agent, figures)
        try:
            yield bed
        finally:
            bed.server.close()


@contextlib.contextmanager
def asker_bed(directory: Path) -> Iterator[AskerBed]:
    bed = AskerBed(directory)
    try:
        yield bed
    finally:
        bed.asker.close()


@contextlib.contextmanager
def gateway_bed(directory: Path) -> Iterator[GatewayBed]:
    yield GatewayBed(directory)


BEDS: dict[str, Callable[[Path], AbstractContextManager[Bed]]] = {"control": control_bed, "asker": asker_bed, "gateway": gateway_bed}


def answer_on(client: socket.socket) -> ControlResponse | None:
    """What the server answered so far; None: nothing, or it hung up."""
    try:
        return next((decode(body, ControlResponse) for body in FrameBuffer().feed(_all_that_came(client))), None)
    except ProtocolError:
        return None


def _all_that_came(client: socket.socket) -> bytes:
    client.setblocking(False)
    came = b""
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while data := client.recv(1 << 20):
            came += data
    return came
