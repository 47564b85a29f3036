"""The benchmark's table."""

from __future__ import annotations

import pytest
from benchmarks import table
from benchmarks.outcome import OURS, Limit, Outcome, Series

MET = Outcome(
    row="decode",
    figure="CPU per exec",
    unit="us",
    ours=Series(OURS, (4.0,)),
    peers=(Series("execsnoop", (10.0,)),),
    skipped={"bpftrace": "bpftrace is not installed (apt-get install bpftrace)"},
    limits=(Limit(0.5, "execsnoop"), Limit(0.2, "bpftrace")),
)
MISSED = Outcome(row="start", figure="start to first event", unit="s", ours=Series(OURS, (0.64,)), limits=(Limit(0.5),), notes=("cold",))


def test_each_row_says_target_measured_and_whether_it_was_met() -> None:
    """Nobody has to compute to see who won."""
    assert table.cells_of(MET) == (
        "decode",
        "CPU per exec",
        "4.00 us",
        "execsnoop 10.0",
        "<= 0.5 x execsnoop; <= 0.2 x bpftrace",
        "0.4 x; ?",
        "yes",
    )
    assert table.cells_of(MISSED)[-3:] == ("<= 0.5 s", "0.64", "NO")


def test_who_was_skipped_is_told_once_with_the_reason() -> None:
    """A peer that several rows lack is one line below the table."""
    lines = table.lines_of([MET, MET, MISSED])

    assert lines.count("bpftrace was skipped: bpftrace is not installed (apt-get install bpftrace)") == 1
    assert "start: cold" in lines


def test_columns_are_aligned() -> None:
    """Each column begins at the same place in all rows."""
    header, first, second = table.lines_of([MET, MISSED])[:3]

    assert header.index("target") == first.index("<=") == second.index("<=")


def test_markdown_is_the_same_table() -> None:
    """For the README, without retyping."""
    lines = table.markdown_of([MISSED])

    assert lines[2] == "| start | start to first event | 0.64 s | - | <= 0.5 s | 0.64 | NO |"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.00"), (0.0123, "0.012"), (0.00002, "0.00002"), (-3.456, "-3.46"), (45.67, "45.7"), (20_000, "20,000")],
)
def test_a_number_keeps_the_digits_that_matter(value: float, text: str) -> None:
    """Three digits, and no exponent."""
    assert table.number(value) == text
