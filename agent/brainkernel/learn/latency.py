"""How long decisions take, against their budgets. Pure but for what it remembers; bounded."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.model import Tier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brainkernel.model import Decision, Span

WINDOW_NS = 300_000_000_000
SAMPLES_MAX = 2_048  # per budget
QUANTILE_SAMPLES_MIN = 20  # of fewer, the 95th percentile is just the slowest
MEAN_SAMPLES_MIN = 10
_CHEAP = frozenset({Tier.RULES, Tier.CACHE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one stage may take. `each`: one decision above `target_ms` is a breach by itself.

    Over a window, `quantile` may take `allowed_ms`.
    """

    name: str
    stage: str
    target_ms: float
    backend: str = ""  # only LLM answers of this backend; "": all
    tiers: frozenset[Tier] = frozenset()  # only verdicts of these; empty: all
    each: bool = True
    quantile: float = 0.95
    factor: float = 1.5

    @property
    def allowed_ms(self) -> float:
        """What the quantile may take."""
        return self.target_ms * self.factor


# DESIGN.md section 9. A model in process has the budget of one on this host.
BUDGETS = (
    Budget(name="llm_groq", stage="llm", target_ms=500, backend="groq"),
    Budget(name="llm_ollama", stage="llm", target_ms=2000, backend="ollama"),
    Budget(name="llm_llamacpp", stage="llm", target_ms=2000, backend="llamacpp"),
    Budget(name="total", stage="total", target_ms=3000),
    Budget(name="total_without_llm", stage="total", target_ms=5, tiers=_CHEAP, each=False, quantile=0.99, factor=1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A budget that was not kept: by one decision, or by the quantile of a window; with the trace of the (slowest) decision."""

    budget: str
    by_window: bool
    decision_id: int
    ms: float
    allowed_ms: float
    trace: tuple[Span, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a budget's window shows; figures are None where nothing was measured."""

    budget: Budget
    samples: int
    breaches: int  # since the start, of both kinds
    mean_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class _Sample(NamedTuple):
    time_ns: int
    ms: float


class _Slowest(NamedTuple):
    time_ns: int
    ms: float
    decision: Decision


class _Series:
    def __init__(self) -> None:
        self.samples: deque[_Sample] = deque(maxlen=SAMPLES_MAX)
        self.breaches = 0
        self.slowest: _Slowest | None = None  # of the window, or of before while nothing new came
        self.over = False  # its quantile is above what is allowed, and that was told

    def recent_ms(self, now_ns: int) -> list[float]:
        while self.samples and now_ns - self.samples[0].time_ns > WINDOW_NS:
            self.samples.popleft()
        return sorted(sample.ms for sample in self.samples)


class LatencyMonitor:
    """Takes every decision; times are CLOCK_BOOTTIME."""

    def __init__(self, budgets: Sequence[Budget] = BUDGETS) -> None:
        self._series = {budget: _Series() for budget in budgets}

    def add(self, decision: Decision, now_ns: int) -> list[Breach]:
        """Count one decision; returns the budgets that it broke by itself."""
        times_ms = {span.stage: span.ns / 1e6 for span in decision.spans}
        breaches = []
        for budget, series in self._series.items():
            ms = times_ms.get(budget.stage)
            if ms is None or not _concerns(budget, decision):
                continue
            series.samples.append(_Sample(now_ns, ms))
            if series.slowest is None or ms >= series.slowest.ms or now_ns - series.slowest.time_ns > WINDOW_NS:
                series.slowest = _Slowest(now_ns, ms, decision)
            if budget.each and ms > budget.target_ms:
                series.breaches += 1
                breaches.append(_breach_of_one(decision, budget, ms))
        return breaches

    def check(self, now_ns: int) -> list[Breach]:
        """Look at the windows; each quantile that rose above what is allowed is told once, until it was below again."""
        found = []
        for budget, series in self._series.items():
            recent_ms = series.recent_ms(now_ns)
            over = len(recent_ms) >= QUANTILE_SAMPLES_MIN and _quantile(recent_ms, budget.quantile) > budget.allowed_ms
            if over and not series.over and series.slowest is not None:
                series.breaches += 1
                found.append(_breach_of_window(recent_ms, budget, series.slowest.decision))
            series.over = over
        return found

    def uses(self, now_ns: int) -> tuple[Use, ...]:
        """Every budget and its window."""
        return tuple(_use(budget, series, now_ns) for budget, series in self._series.items())

    def mean_ms(self, name: str, now_ns: int) -> float | None:
        """The mean of one budget's window; None out of too few."""
        series = next(series for budget, series in self._series.items() if budget.name == name)
        recent_ms = series.recent_ms(now_ns)
        return sum(recent_ms) / len(recent_ms) if len(recent_ms) >= MEAN_SAMPLES_MIN else None


def _use(budget: Budget, series: _Series, now_ns: int) -> Use:
    recent_ms = series.recent_ms(now_ns)
    if not recent_ms:
        return Use(budget=budget, samples=0, breaches=series.breaches)
    p50_ms, p95_ms, p99_ms = (_quantile(recent_ms, q) for q in (0.5, 0.95, 0.99))
    mean_ms = sum(recent_ms) / len(recent_ms)
    return Use(
        budget=budget, samples=len(recent_ms), breaches=series.breaches, mean_ms=mean_ms, p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p99_ms
    )


def _concerns(budget: Budget, decision: Decision) -> bool:
    verdict = decision.verdict
    if budget.tiers and verdict.tier not in budget.tiers:
        return False
    return not budget.backend or (verdict.tier is Tier.LLM and verdict.model.partition("/")[0] == budget.backend)


def _quantile(ordered: list[float], quantile: float) -> float:
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


def _breach_of_one(decision: Decision, budget: Budget, ms: float) -> Breach:
    text = f"decision {decision.id} broke budget {budget.name}: {ms:.0f} ms, {budget.target_ms:.0f} ms is allowed ({_trace(decision)})"
    return Breach(
        budget=budget.name,
        by_window=False,
        decision_id=decision.id,
        ms=ms,
        allowed_ms=budget.target_ms,
        trace=decision.spans,
        text=text,
    )


def _breach_of_window(recent_ms: list[float], budget: Budget, slowest: Decision) -> Breach:
    ms = _quantile(recent_ms, budget.quantile)
    text = (
        f"budget {budget.name}: p{100 * budget.quantile:.0f} of the last {len(recent_ms)} is {ms:.1f} ms, "
        f"{budget.allowed_ms:.0f} ms is allowed; the slowest was decision {slowest.id} ({_trace(slowest)})"
    )
    return Breach(
        budget=budget.name,
        by_window=True,
        decision_id=slowest.id,
        ms=ms,
        allowed_ms=budget.allowed_ms,
        trace=slowest.spans,
        text=text,
    )


def _trace(decision: Decision) -> str:
    return ", ".join(f"{span.stage} {span.ns / 1e6:.1f}" for span in decision.spans if span.stage != "total")
