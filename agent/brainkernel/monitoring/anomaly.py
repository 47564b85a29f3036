"""Whether a figure is unlike itself: a robust running mean and deviation, with hysteresis. Pure but for what it remembers.

A figure becomes anomalous after `BEGIN_S` seconds in a row further from its mean than `BEGIN` deviations (and than its floor),
and is as usual again after `END_S` seconds within `END` of them. While it is anomalous it is learned ten times slower: what
lasts becomes usual in the end, and one spike does not.
"""

from __future__ import annotations

from dataclasses import dataclass

WARM_UP = 300  # samples before anything is judged: five minutes
BEGIN, END = 6.0, 3.0
BEGIN_S, END_S = 10, 30
_SHARE = 1 / 600  # of one second in the mean: what it was over some ten minutes
_CLIP = 5.0  # deviations: one outlier moves the mean by no more


@dataclass(slots=True)
class Usual:
    """What one figure is used to; `watch` once a second."""

    floor: float
    mean: float = 0.0
    deviation: float = 0.0
    samples: int = 0
    anomalous: bool = False
    _in_a_row: int = 0

    def watch(self, value: float) -> bool:
        """Take one value; True if that begins or ends an anomaly."""
        distance = abs(value - self.mean)
        width = max(self.deviation, self.floor / BEGIN)
        changed = False
        if self.samples >= WARM_UP:
            outside = distance < END * width if self.anomalous else distance > BEGIN * width
            self._in_a_row = self._in_a_row + 1 if outside else 0
            if self._in_a_row >= (END_S if self.anomalous else BEGIN_S):
                self.anomalous, self._in_a_row, changed = not self.anomalous, 0, True
        self._learn(value, width)
        return changed

    def _learn(self, value: float, width: float) -> None:
        self.samples += 1
        share = max(_SHARE, 1 / self.samples) * (0.1 if self.anomalous else 1.0)
        limit = _CLIP * width
        step = value - self.mean if self.samples <= WARM_UP else min(limit, max(-limit, value - self.mean))
        self.mean += share * step
        self.deviation += share * (abs(step) - self.deviation)
