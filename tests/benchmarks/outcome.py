"""What a row of the table says: the figures of each contender, the target, and whether ours met it. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

OURS = "ours"


@dataclass(frozen=True, slots=True)
class Series:
    """One contender's figures, one per run."""

    who: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The one that is shown and judged."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Half of the distance between the lowest and the highest."""
        return (max(self.values) - min(self.values)) / 2


@dataclass(frozen=True, slots=True)
class Limit:
    """What ours must keep: at most `value`, or at most `value` times the figure of `against`."""

    value: float
    against: str = ""
    at_least: bool = False  # then it is the other way round

    def text(self, unit: str) -> str:
        """As the table shows it."""
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.value:g} x {self.against}" if self.against else f"{sign} {self.value:g} {unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Judged:
    """One limit, what was measured against it, and whether it was kept; None: nobody to compare with."""

    limit: Limit
    actual: float | None
    met: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row."""

    row: str
    figure: str
    unit: str
    ours: Series
    peers: tuple[Series, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)  # who was not measured, and why
    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()

    def judged(self) -> list[Judged]:
        """Each limit with its answer."""
        return [self._judge(limit) for limit in self.limits]

    @property
    def met(self) -> bool | None:
        """Whether every limit that could be judged was kept; None if none could."""
        answers = [j.met for j in self.judged() if j.met is not None]
        return all(answers) if answers else None

    def _judge(self, limit: Limit) -> Judged:
        actual: float | None = self.ours.median
        if limit.against:
            peer = next((p for p in self.peers if p.who == limit.against), None)
            actual = ratio_of(self.ours, peer) if peer is not None else None
        if actual is None:
            return Judged(limit, None, None)
        return Judged(limit, actual, actual >= limit.value if limit.at_least else actual <= limit.value)

    def as_json(self) -> dict[str, Any]:
        """For `--json`: everything that was measured."""
        return {
            "row": self.row,
            "figure": self.figure,
            "unit": self.unit,
            "ours": _series_json(self.ours),
            "peers": {p.who: _series_json(p) for p in self.peers},
            "skipped": self.skipped,
            "targets": [{"target": j.limit.text(self.unit), "measured": j.actual, "met": j.met} for j in self.judged()],
            "met": self.met,
            "notes": list(self.notes),
        }


def ratio_of(ours: Series, peer: Series) -> float | None:
    """Ours to the peer's, by medians; None where the peer's cost drowned in noise, so that a ratio would say nothing."""
    return ours.median / peer.median if peer.median > 0 else None


def above(series: Series, base: Series) -> Series:
    """What a contender adds to the same load without it, run by run."""
    return Series(series.who, tuple(value - base.median for value in series.values))


def _series_json(series: Series) -> dict[str, Any]:
    return {"median": series.median, "runs": list(series.values)}
