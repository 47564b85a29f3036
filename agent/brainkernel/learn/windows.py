"""How long each stage takes, each tier until the decision, each LLM for its answer: over sliding windows. Bounded.

Of each the newest `SAMPLES_MAX` times are kept; a window with more in it is that of the newest.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.model import Decision

NS_PER_S = 1_000_000_000
WINDOWS_NS = {"1m": 60 * NS_PER_S, "5m": 300 * NS_PER_S, "1h": 3600 * NS_PER_S}  # shortest first
SAMPLES_MAX = 1_024
BACKENDS_MAX = 8  # names of backends come from the gateway: they must not fill the memory
STAGE, TIER, BACKEND = "stage", "tier", "backend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one window shows of one stage, tier or backend; only of what was measured in it."""

    of: str
    name: str
    window: str
    samples: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


class _Ring:
    # Two arrays are an eighth of what a deque of tuples takes.
    __slots__ = ("_ms", "_next", "_times")

    def __init__(self) -> None:
        self._times = array("q")
        self._ms = array("f")
        self._next = 0

    def add(self, ms: float, now_ns: int) -> None:
        if len(self._ms) < SAMPLES_MAX:
            self._times.append(now_ns)
            self._ms.append(ms)
            return
        self._times[self._next], self._ms[self._next] = now_ns, ms
        self._next = (self._next + 1) % SAMPLES_MAX

    def since(self, begin_ns: int) -> list[float]:
        return sorted(ms for time_ns, ms in zip(self._times, self._ms, strict=True) if time_ns >= begin_ns)


class Latencies:
    """Takes every decision, and how long `act` took where it wrote; times are CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, str], _Ring] = {}

    def add(self, decision: Decision, now_ns: int) -> None:
        """Count the times of one decision."""
        verdict = decision.verdict
        for span in decision.spans:
            ms = span.ns / 1e6
            self._count(STAGE, span.stage, ms, now_ns)
            if span.stage == "total":
                self._count(TIER, verdict.tier.value, ms, now_ns)
            elif span.stage == "llm" and verdict.tier is Tier.LLM:
                self._count(BACKEND, verdict.model.partition("/")[0], ms, now_ns)

    def acted(self, ns: int, now_ns: int) -> None:
        """Count how long it took from a decision until its limit stood."""
        self._count(STAGE, "act", ns / 1e6, now_ns)

    def figures(self, now_ns: int, windows: Iterable[str] = WINDOWS_NS) -> tuple[Latency, ...]:
        """All that was measured in these windows."""
        return tuple(
            _latency(of, name, window, ordered_ms)
            for (of, name), ring in self._rings.items()
            for window in windows
            if (ordered_ms := ring.since(now_ns - WINDOWS_NS[window]))
        )

    def _count(self, of: str, name: str, ms: float, now_ns: int) -> None:
        ring = self._rings.get((of, name))
        if ring is None:
            if of == BACKEND and sum(key[0] == BACKEND for key in self._rings) >= BACKENDS_MAX:
                return
            ring = self._rings[of, name] = _Ring()
        ring.add(ms, now_ns)


def _latency(of: str, name: str, window: str, ordered_ms: list[float]) -> Latency:
    samples = len(ordered_ms)
    p50_ms, p95_ms, p99_ms = (ordered_ms[min(samples - 1, int(q * samples))] for q in (0.5, 0.95, 0.99))
    mean_ms = sum(ordered_ms) / samples
    return Latency(of=of, name=name, window=window, samples=samples, mean_ms=mean_ms, p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p99_ms)
