"""Labelled programs, and how well a chain of tiers does on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from brainkernel.classify.offline import suspect_of
from brainkernel.classify.tiers import Judge, classify
from brainkernel.model import Category, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROTECTED = {Category.SYSTEM_CRITICAL, Category.INTERACTIVE, Category.SERVICE}
HARMFUL = {Category.BLOATWARE, Category.BACKGROUND, Category.SUSPICIOUS}


@dataclass
class Figures:
    """What came out. `wrong`, `missed`, `false_alarms` and `harmed` name the records."""

    right: int = 0
    unanswered: int = 0
    found: int = 0
    protected: int = 0
    harmless: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    harmed: list[str] = field(default_factory=list)
    by_tier: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """The figures that issue 5 asks for, one a line."""
        answered = self.right + len(self.wrong)
        processes, attacks = answered + self.unanswered, self.found + len(self.missed)
        rows = (
            ("right where answered", self.right, answered),
            ("answered", answered, processes),
            ("protected programs called background, bloatware or suspicious", len(self.harmed), self.protected),
            ("attacks found", self.found, attacks),
            ("harmless commands called suspicious", len(self.false_alarms), self.harmless),
        )
        return "\n".join(f"{name}: {part} of {whole} ({100 * part / whole:.1f} %)" for name, part, whole in rows if whole)


def figures_of(lines: Iterable[bytes], tiers: Sequence[Judge]) -> Figures:
    """Judge labelled records: `expected` is a category, or `benign` for whatever must only not be suspicious."""
    figures = Figures()
    for number, line in enumerate(lines, start=1):
        record: dict[str, Any] = orjson.loads(line)
        _, suspect = suspect_of(line, number)
        verdict = classify(suspect, tiers)
        figures.by_tier[verdict.tier] += 1
        count(figures, record, verdict)
    return figures


def count(figures: Figures, record: dict[str, Any], verdict: Verdict) -> None:
    """Add one verdict on one labelled record."""
    expected, got = record["expected"], verdict.category
    shown = f"{record['id']} {expected} -> {got} ({verdict.rule}): {record['exe']} {' '.join(record['argv'][1:])[:80]}"
    if expected == Category.SUSPICIOUS:
        figures.found += got is Category.SUSPICIOUS
        figures.missed += [shown] if got is not Category.SUSPICIOUS else []
        return
    figures.harmless += 1
    figures.false_alarms += [shown] if got is Category.SUSPICIOUS else []
    if expected in ("benign", Category.UNKNOWN):
        return
    accepted = {expected, *(record.get("also_ok") or ())}
    figures.unanswered += got is Category.UNKNOWN
    figures.right += got in accepted
    figures.wrong += [shown] if got not in accepted and got is not Category.UNKNOWN else []
    if expected in PROTECTED:
        figures.protected += 1
        figures.harmed += [shown] if got in HARMFUL and got not in accepted else []
