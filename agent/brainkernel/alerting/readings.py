"""The figures that a condition may name, with their units, computed from what the daemon counts anyway."""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.metrics import LATENCY_BUCKETS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from brainkernel.metrics import Figures

NS_PER_S = 1_000_000_000
WINDOW_NS = 300 * NS_PER_S

NAMES: dict[str, tuple[str, str]] = {  # name: unit, meaning
    "avg_decision_time": ("ms", "mean time from the kernel's event to the decision, last 5 minutes"),
    "p95_decision_time": ("ms", "95 % of the decisions of the last 5 minutes took at most this (by histogram)"),
    "p99_decision_time": ("ms", "99 % of the decisions of the last 5 minutes took at most this (by histogram)"),
    "false_positive_rate": ("ratio 0..1", "limits of the last day that should not have been; no value while too few were judged"),
    "stability": ("ratio 0..1", "the stability index: 1 is a calm host, nothing undone, no errors"),
    "api_success_rate": ("ratio 0..1", "LLM questions of the last 5 minutes with a usable answer in time; no value without questions"),
    "decisions_per_minute": ("1/min", "decisions, last 5 minutes"),
    "suspects_per_minute": ("1/min", "programs that passed the gate, last 5 minutes"),
    "limits_per_minute": ("1/min", "limits set, last 5 minutes"),
    "refusals_per_minute": ("1/min", "limits that a safety rule refused, last 5 minutes"),
    "limits_active": ("count", "limits that stand now"),
    "events_lost": ("count", "kernel events lost, last 5 minutes"),
    "events_suppressed": ("count", "kernel events held back by flood control, last 5 minutes"),
    "books_mismatch": ("0 or 1", "the kernel's event counts do not add up"),
    "cpu_pressure": ("percent", "PSI cpu some: share of the last window in which somebody waited for a CPU"),
    "run_queue_p99": ("ms", "99 % of the waits in a run queue were shorter, last window"),
    "daemon_memory": ("MiB", "resident memory of the daemon"),
    "gateway_connected": ("0 or 1", "the gateway is there"),
    "llm_available": ("0 or 1", "a language model is there to be asked"),
    "paused": ("0 or 1", "limits are paused"),
}


@dataclass(frozen=True, slots=True)
class Extras:
    """What the daemon knows beside its metrics."""

    llm_unusable: int  # answers in time without any usable verdict, since the start
    gateway_connected: float
    llm_available: float
    paused: float
    false_positive_rate: float | None
    stability: float | None


@dataclass(frozen=True, slots=True)
class _Totals:
    # Counters at one moment.
    time_ns: int
    buckets: tuple[int, ...]
    seconds: float
    counts: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Span:
    # What happened between two moments.
    before: _Totals
    now: _Totals

    def grown(self, what: str) -> float:
        return self.now.counts[what] - self.before.counts[what]

    @property
    def minutes(self) -> float:
        return (self.now.time_ns - self.before.time_ns) / (60 * NS_PER_S)

    @property
    def buckets(self) -> list[int]:
        earlier = self.before.buckets or (0,) * len(self.now.buckets)
        return [count - old for count, old in zip(self.now.buckets, earlier, strict=True)]


class _Ring:
    # Samples at least `step_ns` apart, as far back as `keep_ns`.
    def __init__(self, keep_ns: int, step_ns: int) -> None:
        self._keep_ns, self._step_ns = keep_ns, step_ns
        self._kept: deque[_Totals] = deque()

    def oldest(self, now: _Totals) -> _Totals:
        if not self._kept or now.time_ns - self._kept[-1].time_ns >= self._step_ns:
            self._kept.append(now)
        while len(self._kept) > 1 and now.time_ns - self._kept[1].time_ns >= self._keep_ns:
            self._kept.popleft()
        return self._kept[0]


class Readings:
    """Call `read` at each tick; only what some rule names is worked out."""

    def __init__(self, figures: Figures, extras: Callable[[], Extras]) -> None:
        self._figures = figures
        self._extras = extras
        self._minutes = _Ring(WINDOW_NS, WINDOW_NS // 60)

    def read(self, now_ns: int, wanted: Collection[str]) -> dict[str, float | None]:
        """The value of each wanted figure now (boot time); None where there is nothing to tell it from."""
        extras = self._extras()
        now = self._totals(now_ns, extras)
        span = _Span(self._minutes.oldest(now), now)
        return {name: self._value(name, span, extras) for name in wanted}

    def _totals(self, now_ns: int, extras: Extras) -> _Totals:
        figures = self._figures
        total = figures.histograms(metrics.STAGE_SECONDS).get(("total",))
        events = figures.by_labels(metrics.KERNEL_EVENTS)
        questions = figures.by_labels(metrics.LLM_QUESTIONS)
        counts = {
            "decisions": sum(figures.by_labels(metrics.DECISIONS).values()),
            "suspects": sum(figures.by_labels(metrics.SUSPECTS).values()),
            "limits": sum(figures.by_labels(metrics.LIMITS_APPLIED).values()),
            "refusals": sum(figures.by_labels(metrics.REFUSALS).values()),
            "lost": sum(v for k, v in events.items() if k[1] == "failed"),
            "suppressed": sum(v for k, v in events.items() if k[1] == "suppressed"),
            "answered": questions.get(("answered",), 0.0),
            "unanswered": sum(questions.get((fate,), 0.0) for fate in ("timed_out", "gateway_gone")),
            "unusable": float(extras.llm_unusable),
        }
        return _Totals(now_ns, tuple(total.counts) if total else (), total.sum_s if total else 0.0, counts)

    def _value(self, name: str, span: _Span, extras: Extras) -> float | None:
        what = name.partition("_")
        if name in _OVER_TIME:
            return _OVER_TIME[name](span)
        if name.endswith("_per_minute"):
            return span.grown(what[0]) / max(1.0, span.minutes)
        if what[0] == "events":
            return span.grown(what[2])
        return getattr(extras, name) if hasattr(extras, name) else self._present(name)

    def _present(self, name: str) -> float | None:
        figures = self._figures
        run_queue_s = figures.by_labels(metrics.RUN_QUEUE_SECONDS).get(("0.99",))
        now: dict[str, float | None] = {
            "limits_active": figures.value(metrics.LIMITS_ACTIVE),
            "books_mismatch": float(any(v for k, v in figures.by_labels(metrics.KERNEL_EVENTS).items() if k[1] == "mismatch")),
            "cpu_pressure": 100 * figures.value(metrics.PRESSURE),
            "run_queue_p99": None if run_queue_s is None else 1e3 * run_queue_s,
            "daemon_memory": figures.value(metrics.RESIDENT_BYTES, "daemon") / (1 << 20),
        }
        return now[name]


def _average_ms(span: _Span) -> float | None:
    count = sum(span.buckets)
    return 1e3 * (span.now.seconds - span.before.seconds) / count if count else None


def _api_success_rate(span: _Span) -> float | None:
    asked = span.grown("answered") + span.grown("unanswered")
    return (span.grown("answered") - span.grown("unusable")) / asked if asked else None


def _quantile_ms(span: _Span, quantile: float) -> float | None:
    # The upper bound of the bucket it falls in: a histogram tells no more.
    sums = list(itertools.accumulate(span.buckets))
    if not sums or not sums[-1]:
        return None
    index = bisect.bisect_left(sums, quantile * sums[-1])
    return 1e3 * LATENCY_BUCKETS_S[min(index, len(LATENCY_BUCKETS_S) - 1)]


_OVER_TIME: dict[str, Callable[[_Span], float | None]] = {
    "avg_decision_time": _average_ms,
    "p95_decision_time": lambda span: _quantile_ms(span, 0.95),
    "p99_decision_time": lambda span: _quantile_ms(span, 0.99),
    "api_success_rate": _api_success_rate,
}
