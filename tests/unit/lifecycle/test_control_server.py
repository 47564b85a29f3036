"""The control socket's server, against clients that are malformed, oversized, slow, too many, or not who they claim."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel import control as control_module
from brainkernel.link.control import CHANGING
from brainkernel.link.frames import Peer, frame_of
from brainkernel.link.messages import ControlRequest
from hypothesis import given, settings
from support.hostile import CONVERSATIONS, HUGE, READER, ROOT, ControlBed, answer_on, control_bed

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS = frame_of(ControlRequest("status"))


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[ControlBed]:
    with control_bed(tmp_path) as made:
        yield made


def ask(bed: ControlBed, command: str, arguments: dict[str, Any] | None = None, peer: Peer = READER) -> Any:
    with bed.connect(peer) as client:
        client.sendall(frame_of(ControlRequest(command, arguments or {})))
        bed.turn()
        return answer_on(client)


@pytest.mark.parametrize("command", sorted(CHANGING))
def test_control_lets_nobody_but_root_change(bed: ControlBed, command: str) -> None:
    """Who asks is what the kernel says, not what the request says."""
    response = ask(bed, command, {"id": 2, "uid": 0}, READER)

    assert (response.exit_code, bed.agent.asked) == (3, [])


def test_control_lets_readers_read_and_root_change(bed: ControlBed) -> None:
    """The other half of the same rule."""
    assert ask(bed, "status").exit_code == 0
    assert ask(bed, "pause", peer=ROOT).exit_code == 0
    assert bed.agent.asked == ["paused=True"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("explain", {"id": 2**64 - 1}),
        ("explain", {"id": 2**63}),
        ("list", {"before_id": 2**64 - 1}),
        ("list", {"program": "9" * 40}),
        ("list", {"program": "٣" * 200}),
        ("list", {"program": "%_\x00\ufffd"}),
        ("undo", {"id": 2**64 - 1}),
        ("feedback", {"id": 2**64 - 1, "good": True}),
        ("approve", {"id": -1}),
        ("set_strategy", {"name": "auto", "seconds": 1e308}),
    ],
)
def test_control_answers_numbers_that_nobody_has(bed: ControlBed, command: str, arguments: dict[str, Any]) -> None:
    """Whatever fits into JSON is answered, and the daemon lives."""
    response = ask(bed, command, arguments, ROOT)

    assert response.exit_code in (0, 2)
    assert bed.errors("fault") == 0


def test_control_survives_a_fault_of_its_own(bed: ControlBed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A command that breaks costs its answer, is logged and counted; the next one is served."""
    with monkeypatch.context() as broken:
        broken.setattr(bed.agent, "status", lambda: 1 // 0)
        response = ask(bed, "status")

    assert (response.exit_code, "fault" in response.error, bed.errors("fault")) == (1, True, 1)
    assert "ZeroDivisionError" in caplog.text
    assert ask(bed, "status").exit_code == 0


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (HUGE, "malformed"),
        (b"\xff\xff\xff\xff" + b"x" * 100, "malformed"),
        (b"\x00\x00\x00\x02{}", "malformed"),
        (b"\x00\x00\x00\x00", "malformed"),
        (frame_of({"command": "x" * 33}), "malformed"),
        (frame_of({"command": "status", "uid": 0}), "malformed"),
    ],
)
def test_control_drops_and_counts(bed: ControlBed, sent: bytes, cause: str) -> None:
    """What is not a request, or is announced to be larger than any, ends the connection without an answer."""
    with bed.connect() as client:
        client.sendall(sent)
        bed.turn()

        assert client.recv(1) == b""
    assert bed.errors(cause) == 1


def test_control_drops_who_is_slow_to_ask(bed: ControlBed) -> None:
    """A silent client, and one that sends a byte now and then, have five seconds together."""
    silent, dripping = bed.connect(), bed.connect()
    with silent, dripping:
        for byte in STATUS[:5]:
            dripping.sendall(bytes([byte]))
            bed.turn()
            bed.advance(1)

        assert (silent.recv(1), dripping.recv(1)) == (b"", b"")
    assert bed.errors("slow") == 2


def test_control_drops_who_does_not_take_the_answer(bed: ControlBed) -> None:
    """An answer that is larger than the kernel's buffer waits half a minute for its reader."""
    with bed.connect() as client:
        (held,) = bed.server._clients.values()
        client.sendall(STATUS)
        with contextlib.suppress(BlockingIOError):  # the kernel's buffer is full before we answer
            while held.sock.send(b"x" * 65536):
                pass
        bed.turn()
        bed.advance(29)
        waiting = len(bed.server._clients)
        bed.advance(2)

        assert (waiting, len(bed.server._clients), bed.errors("slow")) == (1, 0, 1)


def test_control_keeps_a_place_for_root(bed: ControlBed) -> None:
    """However many connections readers hold, each user has a share, and root's command is served."""
    with contextlib.ExitStack() as held:
        for uid in (1000, 1001, 1002, 1003):
            for _ in range(20):
                held.enter_context(bed.connect(Peer(1, uid, uid)))
        by_uid = [client.peer.uid for client in bed.server._clients.values()]
        paused = ask(bed, "pause", peer=ROOT)

    assert [by_uid.count(uid) for uid in (1000, 1001, 1002, 1003)] == [8, 8, 8, 0]
    assert bed.errors("too_many") == 80 - 24
    assert (paused.exit_code, bed.agent.asked) == (0, ["paused=True"])


def test_control_serves_root_no_more_than_its_places(bed: ControlBed) -> None:
    """Bounded for root, too; and a place that is free again is given."""
    with contextlib.ExitStack() as held:
        for _ in range(control_module.CLIENTS_MAX + 3):
            held.enter_context(bed.connect(ROOT))

        assert len(bed.server._clients) == control_module.CLIENTS_MAX
    bed.turn()
    assert ask(bed, "status").exit_code == 0


@settings(max_examples=60, deadline=None)
@given(CONVERSATIONS["control"])
def test_control_takes_anything_from_a_reader(sent: bytes) -> None:
    """One answer by the schema or none, nothing changed, no fault, and no place kept."""
    with tempfile.TemporaryDirectory() as directory, control_bed(Path(directory)) as made:
        made.suffer(sent)
