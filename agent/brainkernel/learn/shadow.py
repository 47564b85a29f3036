"""Whether a model that learned is better than the one in force, on words that neither learned from. Pure.

Both judge the same words, so only those count on which they differ: were both equally good, each of these would be as
likely won as lost (the exact sign test, as McNemar's with few samples).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNIFICANCE = 0.05
HELD_OUT_SHARE = 0.25  # the newest words: what is learned must hold for what comes after


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a candidate did beside the model in force."""

    words: int
    won: int
    lost: int
    harmed: int  # protected programs that the candidate alone would have limited

    @property
    def chance(self) -> float:
        """How likely so many wins are among two equally good models."""
        differing = self.won + self.lost
        ways = sum(math.comb(differing, wins) for wins in range(self.won, differing + 1))
        return float(ways / 2**differing)

    @property
    def is_better(self) -> bool:
        """Better at 95 % confidence, and no protected program is worse off."""
        return not self.harmed and self.won > self.lost and self.chance < SIGNIFICANCE

    @property
    def text(self) -> str:
        """The figures in words."""
        protected = f"; {self.harmed} protected programs worse off" if self.harmed else ""
        return f"better on {self.won} and worse on {self.lost} of {self.words} later words (chance {self.chance:.3f}){protected}"


def compare(scores: Iterable[tuple[float, float]], harmed: int) -> Comparison:
    """Compare by the scores of each word: that of the candidate, and that of the model in force."""
    words = won = lost = 0
    for candidate, current in scores:
        words += 1
        won += candidate > current
        lost += candidate < current
    return Comparison(words=words, won=won, lost=lost, harmed=harmed)
