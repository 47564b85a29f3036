"""What the journal keeps: levels, stable names, and a flood as a number."""

from __future__ import annotations

import io
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from brainkernel.cli import log
from brainkernel.cli.flood import BURST, KINDS_MAX, OTHERS, WINDOW_S, Flood, FloodFilter
from brainkernel.cli.live_report import JournalReport
from brainkernel.clock import SimulatedClock
from brainkernel.model import Category, DecisionKind
from support.nouns import a_verdict
from support.stores import a_decision

if TYPE_CHECKING:
    import pytest

S = 10**9


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_flood_tells_the_first_lines_and_then_how_many_there_were() -> None:
    """Exactly: what was told and what was left out make the sum."""
    stream = io.StringIO()
    report = JournalReport(stream, Flood(SimulatedClock()))

    for number in range(5_000):
        report.decision(a_decision(number, kind=DecisionKind.LIMIT))
    report.close()

    lines = lines_of(stream)
    assert [line["type"] for line in lines] == ["decision"] * BURST + ["flood"]
    assert lines[-1]["left_out"] == 5_000 - BURST


def test_flood_of_harmless_programs_hides_no_suspicious_one() -> None:
    """Each kind has its own measure."""
    stream = io.StringIO()
    report = JournalReport(stream, Flood(SimulatedClock()))
    for number in range(500):
        report.decision(a_decision(number, kind=DecisionKind.LIMIT))

    report.decision(a_decision(501, kind=DecisionKind.LIMIT, verdict=a_verdict(Category.SUSPICIOUS)))
    report.decision(a_decision(502, kind=DecisionKind.REFUSED))
    report.close()

    assert [line["id"] for line in lines_of(stream) if line["type"] == "decision"][BURST:] == [501, 502]


def test_flood_of_notices_that_differ_by_a_number_is_one_flood() -> None:
    """A pid in a sentence does not make it another one; another sentence is told."""
    stream = io.StringIO()
    report = JournalReport(stream, Flood(SimulatedClock()))
    for pid in range(500):
        report.notice(f"process {pid} is odd")

    report.notice("the gateway went away")
    report.close()

    lines = lines_of(stream)
    assert len(lines) == BURST + 2
    assert lines[BURST]["text"] == "the gateway went away"
    assert lines[-1] == {"type": "flood", "of": "notice process # is odd", "left_out": 500 - BURST}


def test_flood_of_ever_new_kinds_is_bounded() -> None:
    """Whoever finds a new word for each line gets the measure of one kind more."""
    flood = Flood(SimulatedClock())

    told = sum(flood.admits(f"kind {number}") for number in range(20_000))

    assert told == KINDS_MAX + BURST
    assert flood.take_left_out(at_the_end=True) == [(OTHERS, 20_000 - KINDS_MAX - BURST)]


def test_flood_begins_anew_after_its_window() -> None:
    """What was left out is told once, and later lines are told again."""
    clock = SimulatedClock()
    flood = Flood(clock)
    for _ in range(BURST + 3):
        flood.admits("k")

    clock.advance_to(clock.boot_ns() + WINDOW_S * S)

    assert flood.take_left_out() == [("k", 3)]
    assert flood.take_left_out() == []
    assert flood.admits("k")


def test_flood_that_ended_is_told_though_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next event to learn of the last flood."""
    monkeypatch.setattr("brainkernel.cli.printer._IDLE_S", 0.01)
    stream, clock = io.StringIO(), SimulatedClock()
    report = JournalReport(stream, Flood(clock))
    for number in range(BURST + 7):
        report.decision(a_decision(number, kind=DecisionKind.LIMIT))

    clock.advance_to(clock.boot_ns() + WINDOW_S * S)

    deadline = time.monotonic() + 20
    while '"flood"' not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lines_of(stream)[-1]["left_out"] == 7
    report.close()


def test_log_records_are_kept_from_flooding_by_their_text_before_its_values() -> None:
    """A record with another pid each time is the same record."""
    flood = Flood(SimulatedClock())
    told = FloodFilter(flood)

    passed = [told.filter(logging.LogRecord("l", logging.INFO, "", 0, "pid %d is odd", (pid,), None)) for pid in range(BURST + 50)]

    assert passed.count(True) == BURST
    assert flood.take_left_out(at_the_end=True) == [("log l: pid %d is odd", 50)]


def test_journal_gets_priorities_and_a_pipe_does_not() -> None:
    """`journalctl -p warning` shows what is suspicious; a program that reads stderr gets plain JSON."""
    assert log.priority_of("warning", {"JOURNAL_STREAM": "9:1"}) == "<4>"
    assert log.priority_of("warning", {}) == ""


def test_journal_lines_carry_their_level_and_the_decision() -> None:
    """A suspicious program is a warning, and `explain` can be asked for it."""
    stream = io.StringIO()
    report = JournalReport(stream, Flood(SimulatedClock()))

    report.decision(a_decision(7, kind=DecisionKind.LIMIT, verdict=a_verdict(Category.SUSPICIOUS)))
    report.notice("the mode is enforce now")
    report.close()

    assert [(line["level"], line["type"], line.get("id")) for line in lines_of(stream)] == [
        ("warning", "decision", 7),
        ("notice", "notice", None),
    ]


def test_journal_keeps_no_secret_of_a_command_line() -> None:
    """Journals are copied to places that the program's owner never thought of."""
    stream = io.StringIO()
    report = JournalReport(stream, Flood(SimulatedClock()))
    plain = a_decision(7, kind=DecisionKind.LIMIT)
    argv = ("mysqldump", "--password=hunter2-S3cret", "shop", "x" * 5_000 + " --password=hunter2-S3cret")
    program = replace(plain.suspect.program, argv=argv)

    report.decision(replace(plain, suspect=replace(plain.suspect, program=program)))
    report.close()

    assert "hunter2" not in stream.getvalue()
    assert lines_of(stream)[0]["argv"][:3:2] == ["mysqldump", "shop"]
