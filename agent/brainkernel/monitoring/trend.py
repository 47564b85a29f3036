"""Where a figure goes: its slope over the last hours, and when it crosses its bound if it goes on like this. Pure.

The slope is Theil's and Sen's (the median of the slopes of all pairs), which a fifth of wild values does not move; it is told
only where the test of Mann and Kendall finds a trend at 99 %, for most figures just wander.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

POINTS_MIN = 12
_Z_99 = 2.576
HORIZON_S = 7 * 86_400.0  # a forecast beyond is idle


@dataclass(frozen=True, slots=True)
class Slope:
    """Per second; None where there is no trend."""

    per_s: float | None
    breach_in_s: float | None = None  # 0: crossed already


def slope_of(values: Sequence[float | None], step_s: float, *, bound: float | None = None, above: bool = True) -> Slope:
    """The trend of equally spaced values, the newest last, and when it crosses `bound` (`above` it, or below)."""
    points = [(place * step_s, value) for place, value in enumerate(values) if value is not None]
    if not points:
        return Slope(None)
    now = _median([value for _time, value in points[-3:]])
    crossed = bound is not None and (now > bound if above else now < bound)
    per_s = _trend(points)
    if bound is None or crossed:
        return Slope(per_s, 0.0 if crossed else None)
    if not per_s or (per_s > 0) is not above:
        return Slope(per_s)
    in_s = (bound - now) / per_s
    return Slope(per_s, in_s if in_s <= HORIZON_S else None)


def _trend(points: Sequence[tuple[float, float]]) -> float | None:
    n = len(points)
    if n < POINTS_MIN:
        return None
    rises = [(later[1] - point[1], later[0] - point[0]) for place, point in enumerate(points) for later in points[place + 1 :]]
    score = sum((rise > 0) - (rise < 0) for rise, _run in rises)
    # Of Mann and Kendall, without ties: with them the true variance is smaller, so this errs on the side of silence.
    variance = n * (n - 1) * (2 * n + 5) / 18
    if abs(score) - 1 <= _Z_99 * math.sqrt(variance):
        return None
    return _median([rise / run for rise, run in rises])


# The module of that name loads decimals, fractions and OpenSSL: 5 MB of the daemon's 45.
def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
