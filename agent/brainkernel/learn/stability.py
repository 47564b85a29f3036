"""How calm the host is and how well we behave on it, as one number in [0, 1]. Pure but for what it remembers; bounded.

    index = 0.25 * (1 - pressure) + 0.25 * (1 - queue) + 0.30 * (1 - undone) + 0.20 * (1 - failed)

    pressure  PSI cpu some as a ratio, averaged over 5 minutes
    queue     run-queue p99 averaged over 5 minutes, on a logarithmic scale: 0 up to 4 ms (a scheduler's slice), 1 from 400 ms
    undone    limits that people undid in 24 h / limits set in 24 h; below 10 limits, / 10
    failed    errors of our own in 1 h (limits not released, seconds in which events were lost) / 10, at most 1

The weights are those of `WEIGHTS`; more of them lies on what we do than on what the host does, for that is ours to change.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

NS_PER_S = 1_000_000_000
HOUR_NS = 3600 * NS_PER_S
WEIGHTS = {"pressure": 0.25, "queue": 0.25, "undone": 0.30, "failed": 0.20}
AVERAGED_S = 300.0
QUEUE_CALM_S, QUEUE_DECADES = 0.004, 2.0
LIMITS_MIN = 10
FAILURES_FULL = 10
EVENTS_MAX = 1_024


@dataclass(frozen=True, slots=True)
class StabilityIndex:
    """The index, and what each part takes from it (0: nothing, 1: its whole weight)."""

    value: float
    parts: dict[str, float]


class Stability:
    """Takes what happens, each with its CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self._pressure = self._queue = 0.0
        self._loaded_ns: int | None = None
        self._limited: deque[int] = deque(maxlen=EVENTS_MAX)
        self._undone: deque[int] = deque(maxlen=EVENTS_MAX)
        self._failed: deque[int] = deque(maxlen=EVENTS_MAX)

    def load(self, pressure_ratio: float, run_queue_p99_s: float, now_ns: int) -> None:
        """Take how the host fares now."""
        elapsed_s = 1.0 if self._loaded_ns is None else max(0.0, (now_ns - self._loaded_ns) / NS_PER_S)
        self._loaded_ns = now_ns
        share = 1 - math.exp(-elapsed_s / AVERAGED_S)
        self._pressure += share * (_clamped(pressure_ratio) - self._pressure)
        self._queue += share * (_queue_part(run_queue_p99_s) - self._queue)

    def limited(self, now_ns: int) -> None:
        """A limit was set."""
        self._limited.append(now_ns)

    def undone(self, now_ns: int) -> None:
        """A person took a limit back."""
        self._undone.append(now_ns)

    def failed(self, now_ns: int) -> None:
        """Something of ours failed."""
        self._failed.append(now_ns)

    def index(self, now_ns: int) -> StabilityIndex:
        """The index now."""
        limits = max(LIMITS_MIN, _since(self._limited, now_ns - 24 * HOUR_NS))
        parts = {
            "pressure": self._pressure,
            "queue": self._queue,
            "undone": _clamped(_since(self._undone, now_ns - 24 * HOUR_NS) / limits),
            "failed": _clamped(_since(self._failed, now_ns - HOUR_NS) / FAILURES_FULL),
        }
        return StabilityIndex(_clamped(1 - sum(WEIGHTS[name] * part for name, part in parts.items())), parts)


def _queue_part(p99_s: float) -> float:
    return _clamped(math.log10(p99_s / QUEUE_CALM_S) / QUEUE_DECADES) if p99_s > QUEUE_CALM_S else 0.0


def _since(times_ns: deque[int], begin_ns: int) -> int:
    return sum(1 for time_ns in times_ns if time_ns >= begin_ns)


# NaN counts as the worst: a figure that is none must never calm us.
def _clamped(value: float) -> float:
    return min(1.0, max(0.0, value)) if not math.isnan(value) else 1.0
