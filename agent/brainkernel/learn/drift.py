"""Whether a model's mistakes become more than they were: its latest answers against all before them. Pure.

Both shares of mistakes are compared as two proportions; the answers of the last window are looked at anew with each one,
so a difference that a single look would believe (two deviations) is only a warning here.
"""

from __future__ import annotations

import enum
import math
from collections import deque

WINDOW = 50
_WARNING, _DRIFT = 2.5, 4.5  # 1 host in 200 is told of a drift that is none, in a thousand answers


class Level(enum.StrEnum):
    """How the mistakes develop."""

    STABLE = "stable"
    WARNING = "warning"
    DRIFT = "drift"


class Drift:
    """Counts right and wrong answers of one model in the order in which they came."""

    def __init__(self) -> None:
        self._latest: deque[bool] = deque()
        self._count = self._mistakes = 0  # before the latest
        self.level = Level.STABLE

    def add(self, *, wrong: bool) -> Level:
        """Count one answer; after a drift the counting begins anew."""
        if self.level is Level.DRIFT:
            self._latest.clear()
            self._count = self._mistakes = 0
        self._latest.append(wrong)
        if len(self._latest) > WINDOW:
            self._count += 1
            self._mistakes += self._latest.popleft()
        self.level = self._judge()
        return self.level

    def _judge(self) -> Level:
        if self._count < WINDOW:
            return Level.STABLE
        latest, window = sum(self._latest), len(self._latest)
        share = (self._mistakes + latest) / (self._count + window)
        deviation = math.sqrt(share * (1 - share) * (1 / self._count + 1 / window))
        more = latest / window - self._mistakes / self._count
        if more > _DRIFT * deviation:
            return Level.DRIFT
        return Level.WARNING if more > _WARNING * deviation else Level.STABLE
