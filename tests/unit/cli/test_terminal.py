"""Colours, widths, and a printer that never waits."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

import pytest
from brainkernel.cli.flood import Flood
from brainkernel.cli.live_report import JournalReport, JsonReport, TextReport
from brainkernel.cli.printer import LinePrinter
from brainkernel.cli.render import duration, milliseconds
from brainkernel.cli.terminal import Style, columns_of, fitted, width_of
from brainkernel.clock import SimulatedClock
from brainkernel.link.control import Counts, Summary
from brainkernel.model import DecisionKind, Refusal, ReleaseResult
from hypothesis import given
from hypothesis import strategies as st
from support.control_side import a_limit_decision
from support.nouns import an_exec
from support.stores import a_decision, an_action, until

if TYPE_CHECKING:
    from collections.abc import Callable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "colour"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
    ids=["terminal", "NO_COLOR", "NO_COLOR empty", "dumb", "pipe"],
)
def test_style_colours_only_a_terminal_that_wants_it(
    stream: io.StringIO, environment: dict[str, str], colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR counts when it is not empty (no-color.org), and a pipe gets no escapes."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert ("\x1b[31m" in Style.of(stream).paint("text", "red")) is colour


@pytest.mark.parametrize(("columns", "width"), [("200", 200), ("40", 80), ("wide", 120), ("", 120)])
def test_width_without_a_terminal_is_that_of_the_environment(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never below 80, and 120 where nobody says anything."""
    monkeypatch.setenv("COLUMNS", columns)

    assert width_of(io.StringIO()) == width


@given(st.text(st.characters(categories=("L", "M", "N", "P", "S", "Zs")), max_size=30), st.integers(2, 20), st.booleans())
def test_fitted_is_exactly_as_wide_as_asked(text: str, width: int, keep_end: bool) -> None:
    """Wide characters take two columns, combining ones none."""
    assert columns_of(fitted(text, width, keep_end=keep_end)) == width


def test_fitted_keeps_the_end_of_a_path() -> None:
    """The file's name tells more than the directory."""
    assert fitted("/usr/lib/systemd/systemd", 12, keep_end=True) == "…emd/systemd"
    assert fitted("漢字漢字", 5) == "漢字…"
    assert fitted("漢字漢字", 6) == "漢字… "


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (3725, "1 h 2 min"), (90_000, "1 d 1 h")]
)
def test_duration_is_said_in_two_units(seconds: float, text: str) -> None:
    """As people say it."""
    assert duration(seconds) == text


@given(st.floats(0, 1e8))
def test_milliseconds_fit_their_column(ms: float) -> None:
    """Seven columns for any latency up to a day."""
    assert len(milliseconds(ms)) <= 7 or ms > 86_400_000


def test_printer_prints_in_order_and_all() -> None:
    """Closing waits for what was taken."""
    stream = io.StringIO()
    printer = LinePrinter(stream)

    for number in range(1000):
        printer.print(str(number))

    assert printer.close() == 0
    assert stream.getvalue().split() == [str(n) for n in range(1000)]


def test_printer_never_waits_for_a_reader_that_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-S at the terminal does not stop the agent: lines are dropped and counted."""
    monkeypatch.setattr("brainkernel.cli.printer._LINES_MAX", 10)
    monkeypatch.setattr("brainkernel.cli.printer._PATIENCE_S", 0.05)
    go_on = threading.Event()

    class Stopped(io.StringIO):
        def write(self, text: str) -> int:
            go_on.wait(30)
            return super().write(text)

    printer = LinePrinter(Stopped())
    for _ in range(1000):
        printer.print("line")

    assert printer.close() >= 980
    go_on.set()


def test_printer_ends_the_agent_when_the_reader_is_gone() -> None:
    """`brainkernel run | head` stops in good order, limits released, instead of going on unseen."""
    read_end, write_end = os.pipe()
    gone = threading.Event()
    with os.fdopen(write_end, "w", buffering=1) as stream:
        printer = LinePrinter(stream, on_gone=gone.set)
        os.close(read_end)

        def print_until_gone() -> bool:
            printer.print("line")
            return gone.is_set()

        until(print_until_gone)
        printer.close()


def everything(report: TextReport | JsonReport) -> None:
    """Tell a report of everything once."""
    decision = a_limit_decision()
    report.event(an_exec(), passed=False)
    report.decision(decision)
    report.decision(a_decision(3))
    report.action(decision, an_action(2, comm="\x1b[2J"))
    report.not_applied(decision, Refusal(rule="cgroup_version", reason="v1"))
    report.released(an_action(2), ReleaseResult.RESTORED, "nobody waits any more")
    report.notice("loader core")
    report.summary(Summary(seconds=1.0, counts=Counts()))
    report.close()


def test_text_report_tells_everything_safely() -> None:
    """A person sees what was limited, how to undo it, and how it ended."""
    stream = io.StringIO()

    everything(TextReport(stream, SimulatedClock(), all_events=True))

    text = stream.getvalue()
    assert "\x1b" not in text
    for part in (
        "TIME",
        "/usr/bin/restic",
        "undo it: brainkernel undo 2",
        "cgroup_version: v1",
        "restored; nobody waits",
        "note: loader core",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("make", "types"),
    [
        (lambda s: JsonReport(s, all_events=False), ["decision", "decision", "action", "not_applied", "release", "notice", "summary"]),
        (
            lambda s: JsonReport(s, all_events=True),
            ["event", "decision", "decision", "action", "not_applied", "release", "notice", "summary"],
        ),
        (lambda s: JournalReport(s, Flood(SimulatedClock())), ["decision", "action", "not_applied", "release", "notice", "summary"]),
    ],
    ids=["json", "all events", "journal"],
)
def test_json_report_prints_one_object_per_line(make: Callable[[io.StringIO], JsonReport], types: list[str]) -> None:
    """The journal is spared the notes that hurt nobody."""
    import orjson  # noqa: PLC0415

    stream = io.StringIO()

    everything(make(stream))

    assert [orjson.loads(line)["type"] for line in stream.getvalue().splitlines()] == types
    assert DecisionKind.NOTE.value == "note"
