"""The daemon's end of the gateway socket, against a forged gateway over a real Unix socket."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel import metrics
from brainkernel.clock import SimulatedClock
from brainkernel.link import asker as asker_module
from brainkernel.link.asker import Answered, Asker, Late, TimedOut
from brainkernel.link.frames import FrameBuffer, Peer, decode, frame_of
from brainkernel.link.messages import Answers, Ask, FiguresNow, FiguresPlease, Hello, ProposedVerdict, Question
from brainkernel.model import Category
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTION = Question(exe="/usr/bin/updatedb", argv=("updatedb",), comm="updatedb", parents=(), uid=0, cwd="/", cgroup="/")
VERDICT = ProposedVerdict(Category.BACKGROUND, 0.9, "indexes files")
MS = 1_000_000


class Desk:
    """An asker with its clock and figures, and forged gateways that connect to it."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.clock = SimulatedClock(now_boot_ns=10**12)
        self.figures = metrics.Figures()
        self.path = directory / "gateway.sock"
        self.peers: list[socket.socket] = []
        options.setdefault("allows", lambda peer: peer.uid == os.getuid())
        self.asker = Asker(self.path, figures=self.figures, snapshot=self.figures.snapshot, clock=self.clock, **options)

    def gateway(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(5)
        peer.connect(str(self.path))
        self.peers.append(peer)
        self.asker.on_readable()
        return peer

    def take(self, peer: socket.socket, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(data)
        while select.select([self.asker], [], [], 0)[0] and self.asker.connected:
            self.asker.on_readable()

    def poll(self) -> list[Answered | Late | TimedOut]:
        return self.asker.poll(self.clock.boot_ns())

    def advance(self, ms: int) -> None:
        self.clock.now_boot_ns += ms * MS

    def errors(self, cause: str) -> float:
        return self.figures.value(metrics.PROTOCOL_ERRORS, "gateway", cause)

    def fate(self, fate: str) -> float:
        return self.figures.value(metrics.LLM_QUESTIONS, fate)

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.asker.close()


@contextlib.contextmanager
def a_desk(**options: Any) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as directory:
        desk = Desk(Path(directory), **options)
        try:
            yield desk
        finally:
            desk.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    with a_desk() as made:
        yield made


def received(peer: socket.socket, schema: Any) -> Any:
    buffer = FrameBuffer()
    while True:
        for body in buffer.feed(peer.recv(1 << 16)):
            return decode(body, schema)


def test_asker_brings_the_answer_of_the_gateway(desk: Desk) -> None:
    """A question goes out with a random id, and the verdict that names it comes back once."""
    peer = desk.gateway()
    asked = desk.asker.ask([QUESTION], 3000)
    ask = received(peer, Ask)
    desk.take(peer, frame_of(Answers(ask.id, (VERDICT,))))

    assert ask.id == asked
    assert ask.questions == (QUESTION,)
    assert desk.poll() == [Answered(ask.id, (VERDICT,), "", None)]
    assert desk.poll() == []
    assert desk.fate("answered") == 1


def test_asker_says_none_without_a_gateway(desk: Desk) -> None:
    """Nobody to ask is a normal state, counted."""
    assert desk.asker.ask([QUESTION], 3000) is None
    assert desk.fate("no_gateway") == 1


def test_asker_times_out_and_still_takes_the_late_answer(desk: Desk) -> None:
    """The deadline frees the pipeline; the answer that comes after it is kept apart as late."""
    peer = desk.gateway()
    identifier = desk.asker.ask([QUESTION], 3000)
    assert identifier is not None

    desk.advance(3000)
    assert desk.poll() == [TimedOut(identifier)]

    desk.take(peer, frame_of(Answers(identifier, (VERDICT,))))
    assert desk.poll() == [Late(identifier, (VERDICT,), "", None)]


def test_asker_reports_the_timeout_before_a_late_answer_that_arrives_first(desk: Desk) -> None:
    """Between the deadline and the next poll an answer is late too, and both are told, in order."""
    peer = desk.gateway()
    identifier = desk.asker.ask([QUESTION], 3000)
    assert identifier is not None
    desk.advance(3001)
    desk.take(peer, frame_of(Answers(identifier, (VERDICT,))))

    assert desk.poll() == [TimedOut(identifier), Late(identifier, (VERDICT,), "", None)]


def test_asker_forgets_a_question_after_minutes(desk: Desk) -> None:
    """An id is not good forever."""
    peer = desk.gateway()
    identifier = desk.asker.ask([QUESTION], 3000)
    assert identifier is not None
    desk.advance(3000)
    desk.poll()
    desk.advance(asker_module.LATE_KEPT_NS // MS)
    desk.poll()
    desk.take(peer, frame_of(Answers(identifier, (VERDICT,))))

    assert desk.poll() == []
    assert desk.errors("unknown_id") == 1


def test_asker_drops_an_unknown_and_a_second_answer(desk: Desk) -> None:
    """Each id is good for one answer, and a made-up id for none; both are counted."""
    peer = desk.gateway()
    identifier = desk.asker.ask([QUESTION], 3000)
    assert identifier is not None
    answer = frame_of(Answers(identifier, (VERDICT,)))
    desk.take(peer, frame_of(Answers("0" * 32, (VERDICT,))) + answer + answer)

    assert desk.poll() == [Answered(identifier, (VERDICT,), "", None)]
    assert desk.errors("unknown_id") == 1
    assert desk.errors("duplicate_id") == 1


@pytest.mark.parametrize("verdicts", [(), (VERDICT, VERDICT)])
def test_asker_takes_no_verdict_when_the_count_is_wrong(desk: Desk, verdicts: tuple[ProposedVerdict, ...]) -> None:
    """Verdicts that cannot be matched to the questions are none."""
    peer = desk.gateway()
    identifier = desk.asker.ask([QUESTION], 3000)
    assert identifier is not None
    desk.take(peer, frame_of(Answers(identifier, verdicts)))

    assert desk.poll() == [Answered(identifier, (None,), "count_mismatch", None)]
    assert desk.errors("count_mismatch") == 1


def test_asker_passes_a_failure_on(desk: Desk) -> None:
    """No verdicts and a cause is an honest answer."""
    peer = desk.gateway()
    identifier = desk.asker.ask([QUESTION, QUESTION], 3000)
    assert identifier is not None
    desk.take(peer, frame_of(Answers(identifier, failure="budget")))

    assert desk.poll() == [Answered(identifier, (None, None), "budget", None)]


def test_asker_refuses_a_peer_that_is_not_allowed_and_keeps_the_gateway(desk: Desk) -> None:
    """SO_PEERCRED decides; a stranger neither asks nor replaces."""
    good = desk.gateway()
    desk.asker._allows = lambda _peer: False
    stranger = desk.gateway()

    assert stranger.recv(1) == b""
    assert desk.errors("wrong_peer") == 1
    assert desk.asker.ask([QUESTION], 3000) is not None
    assert received(good, Ask).questions == (QUESTION,)


def test_asker_judges_the_peer_by_what_the_kernel_says() -> None:
    """The rule gets pid, uid and gid of the process that connected."""
    seen: list[Peer] = []

    def allows(peer: Peer) -> bool:
        seen.append(peer)
        return True

    with a_desk(allows=allows) as desk:
        desk.gateway()

    assert seen == [Peer(os.getpid(), os.getuid(), os.getgid())]


def test_asker_lets_a_newer_gateway_replace_the_older(desk: Desk) -> None:
    """A restarted gateway is heard at once; what the old one was asked is over."""
    old = desk.gateway()
    identifier = desk.asker.ask([QUESTION], 3000)
    assert identifier is not None
    new = desk.gateway()

    assert desk.poll() == [TimedOut(identifier, gateway_gone=True)]
    desk.take(new, frame_of(Answers(identifier, (VERDICT,))))
    assert desk.poll() == []
    assert desk.errors("unknown_id") == 1
    assert received(old, Ask).id == identifier
    assert old.recv(1) == b""


def test_asker_notices_that_the_gateway_went(desk: Desk) -> None:
    """Open questions end at once, and the next one finds nobody."""
    peer = desk.gateway()
    identifier = desk.asker.ask([QUESTION], 3000)
    assert identifier is not None
    peer.close()
    desk.asker.on_readable()

    assert not desk.asker.connected
    assert desk.poll() == [TimedOut(identifier, gateway_gone=True)]
    assert desk.asker.ask([QUESTION], 3000) is None


def test_asker_bounds_what_is_outstanding() -> None:
    """The newest question is dropped, with a count, when the gateway does not keep up."""
    with a_desk(max_outstanding=2) as desk:
        desk.gateway()
        ids = [desk.asker.ask([QUESTION], 3000) for _ in range(3)]

    assert [i is None for i in ids] == [False, False, True]
    assert desk.fate("too_many") == 1


def test_asker_bounds_what_a_gateway_that_does_not_read_leaves_unsent() -> None:
    """A stalled gateway costs a bounded buffer and no waiting; when it reads again, it gets all that was asked."""
    big = Question(exe="x" * 4000, argv=("y" * 4000,) * 16, comm="c", parents=(), uid=0, cwd="/", cgroup="/")
    with a_desk(max_outstanding=1000, max_unsent_bytes=1 << 18) as desk:
        peer = desk.gateway()
        asked = []
        while (identifier := desk.asker.ask([big], 3000)) is not None:
            asked.append(identifier)

        buffer, got = FrameBuffer(), list[str]()
        while len(got) < len(asked):
            got += [decode(body, Ask).id for body in buffer.feed(peer.recv(1 << 16))]
            desk.asker.on_readable()

    assert got == asked
    assert desk.fate("too_many") == 1


def test_asker_refuses_a_batch_larger_than_a_frame(desk: Desk) -> None:
    """A batch that does not fit is dropped here, with its own count, not sent in part."""
    desk.gateway()
    huge = Question(exe="x", argv=("y" * 4096,) * 64, comm="c", parents=(), uid=0, cwd="/", cgroup="/")

    assert desk.asker.ask([huge] * 8, 3000) is None
    assert desk.fate("too_large") == 1


def test_asker_drops_a_gateway_that_breaks_the_protocol(desk: Desk) -> None:
    """After one bad frame nothing on that connection can be trusted."""
    peer = desk.gateway()
    desk.take(peer, b"GET / HTTP/1.1\r\n\r\n")

    assert not desk.asker.connected
    assert desk.errors("malformed") == 1


def test_asker_sends_figures_but_not_faster_than_anybody_scrapes(desk: Desk) -> None:
    """A gateway may ask for figures; a flood of such requests is counted, not answered."""
    peer = desk.gateway()
    desk.take(peer, frame_of(FiguresPlease()) * 50)

    assert "brainkernel_decisions_total" in received(peer, FiguresNow).figures
    assert desk.errors("too_often") == 49


def test_asker_keeps_what_the_gateway_says_of_itself(desk: Desk) -> None:
    """Hello is remembered while that gateway is there."""
    hello = Hello("ollama", "qwen2.5:3b", "an Ollama answers")
    peer = desk.gateway()
    desk.take(peer, frame_of(hello))
    assert desk.asker.hello == hello

    peer.close()
    desk.asker.on_readable()
    assert desk.asker.hello is None


def test_asker_replaces_a_socket_left_by_an_earlier_run_and_removes_its_own() -> None:
    """A crash leaves a path behind; the next start listens there all the same."""
    with tempfile.TemporaryDirectory() as directory:
        left = socket.socket(socket.AF_UNIX)
        left.bind(f"{directory}/gateway.sock")
        left.close()
        desk = Desk(Path(directory))
        mode = stat.S_IMODE(desk.path.stat().st_mode)
        desk.close()

        assert mode == 0o666
        assert not desk.path.exists()


def test_asker_does_not_delete_a_file_that_is_no_socket() -> None:
    """A path that names something else is an error, and the file stays."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "gateway.sock"
        path.write_text("precious")

        with pytest.raises(OSError, match="in use"):
            Desk(Path(directory))
        assert path.read_text() == "precious"


frames = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda body: len(body).to_bytes(4, "big") + body),
    st.builds(
        lambda identifier, count, failure: frame_of(Answers(identifier, (VERDICT,) * count, failure)),
        st.text(st.characters(codec="ascii"), max_size=64),
        st.integers(0, 8),
        st.sampled_from(["", "timeout"]),
    ),
    st.just(frame_of(FiguresPlease())),
    st.just(frame_of(Hello("x", "y", "z"))),
    st.just(b"\xff\xff\xff\xff"),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(frames, max_size=6))
def test_asker_never_raises_and_never_answers_what_was_not_asked(sent: list[bytes]) -> None:
    """Whatever a hostile gateway writes, no exception leaves and no verdict appears for an id it did not get."""
    with a_desk() as desk:
        peer = desk.gateway()
        identifier = desk.asker.ask([QUESTION], 3000)
        for chunk in sent:
            desk.take(peer, chunk)
        outcomes = desk.poll()

    assert not any(isinstance(o, Answered | Late) for o in outcomes)
    assert all(o.id == identifier for o in outcomes)
