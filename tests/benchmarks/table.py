"""The rows as text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.outcome import Judged, Outcome, Series

HEADER = ("row", "figure", "ours", "peers", "target", "measured", "met")


def lines_of(outcomes: Sequence[Outcome]) -> list[str]:
    """The table, then what was skipped and noted."""
    return [*_aligned([HEADER, *(cells_of(o) for o in outcomes)]), *_remarks(outcomes)]


def markdown_of(outcomes: Sequence[Outcome]) -> list[str]:
    """The same table for a README."""
    rows = [HEADER, tuple("---" for _ in HEADER), *(cells_of(o) for o in outcomes)]
    return [f"| {' | '.join(row)} |" for row in rows] + _remarks(outcomes)


def cells_of(outcome: Outcome) -> tuple[str, ...]:
    """One row in the order of HEADER."""
    judged = outcome.judged()
    return (
        outcome.row,
        outcome.figure,
        amount(outcome.ours, outcome.unit),
        ", ".join(f"{p.who} {amount(p, '')}" for p in outcome.peers) or "-",
        "; ".join(j.limit.text(outcome.unit) for j in judged) or "-",
        "; ".join(_measured(j) for j in judged) or "-",
        {True: "yes", False: "NO", None: "-"}[outcome.met],
    )


def amount(series: Series, unit: str) -> str:
    """The median with what matters of its digits."""
    return f"{number(series.median)} {unit}".rstrip()


def number(value: float) -> str:
    """Three digits, no exponent."""
    if value and abs(value) < 1:
        return f"{value:.3f}".rstrip("0") if abs(value) >= 0.001 else f"{value:.6f}".rstrip("0").rstrip(".")
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def _measured(judged: Judged) -> str:
    if judged.actual is None:
        return "?"
    return f"{number(judged.actual)} x" if judged.limit.against else number(judged.actual)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _remarks(outcomes: Iterable[Outcome]) -> list[str]:
    found: dict[str, None] = {}  # in order, each once
    for outcome in outcomes:
        found |= dict.fromkeys(f"{who} was skipped: {why}" for who, why in outcome.skipped.items())
        found |= dict.fromkeys(f"{outcome.row}: {note}" for note in outcome.notes)
    return ["", *found] if found else []
