"""Which figures are kept over time, and which metric each comes from. A counter is kept as its increase per second.

A source with `{}` in its name is one figure for each set of labels of its metric, and only those in `only`, if given. A
histogram is one figure for each bucket, over all labels: how many there were since the last time, so that the mean over
any time, by the number of values behind it, is exactly how many there were.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.metrics import LATENCY_BUCKETS_S, MetricKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from brainkernel.metrics import Figures, Labels, Metric

NS_PER_S = 1_000_000_000
BUCKETS_MS = (*(f"{1e3 * bound:g}" for bound in LATENCY_BUCKETS_S), "inf")
_NO_COUNTS = (0,) * len(BUCKETS_MS)
LABELLED_MAX = 16  # figures of one source: label values are bounded, but some are the gateway's words


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One figure over time, or a family of them. `bound`: what it should not cross; `above`: from which side.

    `watched`: its trend is followed, and it is told when it is unlike itself; `floor` is the smallest difference that
    counts as one.
    """

    name: str
    metric: Metric
    unit: str
    help: str
    scale: float = 1.0
    only: tuple[tuple[str | None, ...], ...] = ()  # label values; None: any
    watched: bool = False
    floor: float = 0.0
    bound: float | None = None
    above: bool = True
    claimed: bool = False  # the gateway says so of itself


_PERCENTILES = ("0.5", "0.95", "0.99", "mean")

SOURCES: tuple[Source, ...] = (
    # decision performance
    Source(name="decisions_per_s", metric=metrics.DECISIONS, unit="1/s", help="decisions", watched=True, floor=5),
    Source(name="decisions_per_s.{}", metric=metrics.DECISIONS, unit="1/s", help="decisions of one kind"),
    Source(name="verdicts_per_s.{}", metric=metrics.VERDICTS, unit="1/s", help="verdicts by category and tier"),
    Source(name="suspects_per_s", metric=metrics.SUSPECTS, unit="1/s", help="programs that passed the gate", watched=True, floor=5),
    Source(
        name="execs_per_s", metric=metrics.KERNEL_EVENTS, only=(("exec", "seen"),), unit="1/s", help="program starts that the kernel saw"
    ),
    Source(
        name="events_lost_per_s", metric=metrics.KERNEL_EVENTS, only=((None, "failed"),), unit="1/s", watched=True, floor=1,
        help="kernel events that were lost",
    ),
    Source(name="events_suppressed_per_s", metric=metrics.KERNEL_EVENTS, only=((None, "suppressed"),), unit="1/s", help="events held back"),
    Source(name="limits_active", metric=metrics.LIMITS_ACTIVE, unit="", help="limits that stand"),
    Source(name="limits_applied_per_s", metric=metrics.LIMITS_APPLIED, unit="1/s", help="limits written"),
    Source(name="limits_released_per_s", metric=metrics.LIMITS_RELEASED, unit="1/s", help="limits ended"),
    Source(name="refusals_per_s", metric=metrics.REFUSALS, unit="1/s", help="limits refused by a safety rule", watched=True, floor=1),
    Source(
        name="latency_ms.{}", metric=metrics.LATENCY, scale=1e3, unit="ms", help="latency of the last 5 minutes",
        only=(("stage", None, "0.95"), ("tier", None, "0.95"), ("backend", None, "0.95")),
    ),
    Source(
        name="decision_mean_ms", metric=metrics.LATENCY, scale=1e3, only=(("stage", "total", "mean"),), unit="ms", watched=True, floor=50,
        bound=3000, help="mean time from the kernel's event to the decision, last 5 minutes",
    ),
    Source(
        name="decision_p50_ms", metric=metrics.LATENCY, scale=1e3, only=(("stage", "total", "0.5"),), unit="ms",
        help="median of the same",
    ),
    Source(
        name="decision_p95_ms", metric=metrics.LATENCY, scale=1e3, only=(("stage", "total", "0.95"),), unit="ms", watched=True, floor=200,
        bound=4500, help="95th percentile of the same",
    ),
    Source(
        name="decision_p99_ms", metric=metrics.LATENCY, scale=1e3, only=(("stage", "total", "0.99"),), unit="ms",
        help="99th percentile of the same",
    ),
    Source(
        name="decision_times.{}", metric=metrics.DECISION_SECONDS, unit="",
        help="decisions by their time from the kernel's event: at most so many ms, and more than the bucket before",
    ),
    Source(
        name="llm_mean_ms", metric=metrics.LATENCY, scale=1e3, only=(("stage", "llm", "mean"),), unit="ms", watched=True, floor=200,
        bound=2000, help="mean time of the LLM's inference, last 5 minutes",
    ),
    Source(name="llm_questions_per_s.{}", metric=metrics.LLM_QUESTIONS, unit="1/s", help="batches put to the gateway, by fate"),
    Source(name="cache_lookups_per_s.{}", metric=metrics.CACHE_LOOKUPS, unit="1/s", help="lookups in the verdict cache, by result"),
    Source(name="budget_breaches_per_s", metric=metrics.BUDGET_BREACHES, unit="1/s", help="latency budgets not kept", watched=True, floor=1),
    Source(
        name="decisions_late_per_s", metric=metrics.BUDGET_BREACHES, only=(("total", "decision"),), unit="1/s",
        help="decisions beyond the budget of the whole way",
    ),
    Source(name="protocol_errors_per_s", metric=metrics.PROTOCOL_ERRORS, unit="1/s", help="messages on our sockets that were none"),
    # resources
    Source(name="host_cpu_pct", metric=metrics.HOST_CPU, scale=100, unit="%", help="the host's CPUs in use"),
    Source(name="host_memory_available_bytes", metric=metrics.HOST_MEMORY, only=(("available",),), unit="bytes", help="memory left"),
    Source(name="host_memory_total_bytes", metric=metrics.HOST_MEMORY, only=(("total",),), unit="bytes", help="memory of the host"),
    Source(name="host_load1", metric=metrics.HOST_LOAD, unit="", help="load average of one minute"),
    Source(name="pressure_pct.{}", metric=metrics.HOST_PRESSURE, scale=100, unit="%", help="PSI some: share of time in which a task waited"),
    Source(name="run_queue_ms.p50", metric=metrics.RUN_QUEUE_SECONDS, scale=1e3, only=(("0.5",),), unit="ms", help="wait in a run queue"),
    Source(name="run_queue_ms.p99", metric=metrics.RUN_QUEUE_SECONDS, scale=1e3, only=(("0.99",),), unit="ms", help="wait in a run queue"),
    Source(
        name="own_cpu_pct", metric=metrics.CPU_SECONDS, scale=100, unit="%", watched=True, floor=5, bound=5,
        help="CPU time of the daemon, of one CPU",
    ),
    Source(
        name="own_memory_bytes", metric=metrics.RESIDENT_BYTES, only=(("daemon",),), unit="bytes", watched=True, floor=4 << 20,
        bound=45 << 20, help="resident memory of the daemon",
    ),
    Source(
        name="state_bytes", metric=metrics.STATE_BYTES, unit="bytes", watched=True, floor=8 << 20, bound=512 << 20,
        help="size of the state database and of the figures",
    ),
    Source(name="bpf_cpu_pct.{}", metric=metrics.BPF_SECONDS, scale=100, unit="%", help="time in a BPF program of ours, of one CPU"),
    Source(name="gpu_busy_pct.{}", metric=metrics.GPU_BUSY, scale=100, unit="%", help="a GPU in use"),
    Source(name="gpu_memory_bytes.{}", metric=metrics.GPU_MEMORY, unit="bytes", help="memory of a GPU"),
    Source(
        name="gateway_cpu_pct", metric=metrics.CPU_SECONDS, scale=100, unit="%", claimed=True, help="CPU time of the gateway, of one CPU"
    ),
    Source(name="gateway_memory_bytes", metric=metrics.RESIDENT_BYTES, unit="bytes", claimed=True, help="resident memory of the gateway"),
    Source(name="llm_calls_per_s.{}", metric=metrics.LLM_CALLS, unit="1/s", claimed=True, help="LLM calls by result"),
    Source(name="llm_failures_per_s.{}", metric=metrics.LLM_FAILURES, unit="1/s", claimed=True, help="LLM answers not used, by cause"),
    Source(name="llm_tokens_per_s.{}", metric=metrics.LLM_TOKENS, unit="1/s", claimed=True, help="tokens sent and received"),
    Source(name="llm_dollars_per_h", metric=metrics.LLM_COST, scale=3600, unit="", claimed=True, help="price of the LLM's tokens, per hour"),
    # quality
    Source(name="quality.{}", metric=metrics.QUALITY, unit="", help="share, by measure and window"),
    Source(name="quality_bound.{}", metric=metrics.QUALITY_BOUND, only=((None, "24h", None),), unit="", help="its 95 % interval"),
    Source(
        name="false_positive_rate", metric=metrics.QUALITY, only=(("false_positive", "24h"),), unit="", watched=True, floor=0.05,
        bound=0.05, help="limits of the last 24 h that should not have been",
    ),
    Source(
        name="stability", metric=metrics.STABILITY, unit="", watched=True, floor=0.1, bound=0.8, above=False,
        help="how calm the host is and how well we behave",
    ),
    # feedback
    Source(name="feedback_per_s.{}", metric=metrics.FEEDBACK, unit="1/s", help="words of people"),
    Source(name="learning_words.{}", metric=metrics.LEARNING_WORDS, unit="", help="words that a model can learn from, by task"),
    Source(name="learning_sessions_per_s.{}", metric=metrics.LEARNING_SESSIONS, unit="1/s", help="times a model learned, by task and result"),
    Source(name="drifts_per_s.{}", metric=metrics.DRIFTS, unit="1/s", help="times a model's mistakes became more than they were"),
    Source(name="version", metric=metrics.VERSION, unit="", help="version of policy, rules and models in force"),
    Source(name="strategy.{}", metric=metrics.STRATEGY, unit="", help="1 while this strategy is in force"),
    Source(name="strategy_changes_per_s", metric=metrics.STRATEGY_CHANGES, unit="1/s", help="changes of the strategy"),
)  # fmt: skip

_OWN = tuple(source for source in SOURCES if not source.claimed)
_CLAIMED = tuple(source for source in SOURCES if source.claimed)


@dataclass(slots=True)
class _Counted:
    # What one side had counted when it was read last.
    totals: dict[str, float] = field(default_factory=dict)
    buckets: dict[str, Sequence[int]] = field(default_factory=dict)  # of histograms, by source
    read_ns: int | None = None


@dataclass(slots=True)
class Sampler:
    """Reads all sources off the metrics; remembers the counters of the last time."""

    figures: Figures
    claims: Callable[[], Figures | None] = lambda: None  # of the gateway, while it is there; the same object until it says more
    _own: _Counted = field(default_factory=_Counted)
    _claimed: _Counted = field(default_factory=_Counted)
    _claims: Figures | None = None
    _of_claims: dict[str, float] = field(default_factory=dict)
    _names: dict[str, dict[Labels, str | None]] = field(default_factory=dict)

    def sample(self, now_ns: int) -> dict[str, float]:
        """The figures now (CLOCK_BOOTTIME); rates are since the last call, and absent at the first one.

        What the gateway claims stands until it says more: it does so less often than this is called.
        """
        claims = self.claims()
        if claims is None:
            self._claimed, self._of_claims = _Counted(), {}
        elif claims is not self._claims:
            # Its first message makes no rate: what it comes with had begun before.
            self._of_claims = self._read(_CLAIMED, claims, self._claimed, now_ns)
        self._claims = claims
        return self._read(_OWN, self.figures, self._own, now_ns) | self._of_claims

    def _read(self, sources: tuple[Source, ...], figures: Figures, before: _Counted, now_ns: int) -> dict[str, float]:
        elapsed_s = 0.0 if before.read_ns is None else (now_ns - before.read_ns) / NS_PER_S
        totals: dict[str, float] = {}
        found: dict[str, float] = {}
        for source in sources:
            if source.metric.kind is MetricKind.HISTOGRAM:
                found |= _buckets_of(source, figures, before.buckets)
                continue
            into = totals if source.metric.kind is MetricKind.COUNTER else found
            for name, value in self._values(source, figures.by_labels(source.metric)):
                into[name] = into.get(name, 0.0) + value * source.scale
        if elapsed_s > 0:
            for name, total in totals.items():
                # A counter that began later began at zero; one that fell was begun anew.
                found[name] = max(0.0, total - before.totals.get(name, 0.0)) / elapsed_s
        before.totals, before.read_ns = totals, now_ns
        return found

    # A figure's name depends on its labels alone: looked up, since this is done for each figure and second.
    def _values(self, source: Source, values: dict[Labels, float]) -> list[tuple[str, float]]:
        names = self._names.setdefault(source.name, {})
        found = []
        for labels, value in values.items():
            if labels not in names:
                families = sum(name is not None for name in names.values())
                names[labels] = _name_of(source, labels) if families < LABELLED_MAX or "{}" not in source.name else None
            if (name := names[labels]) is not None:
                found.append((name, value))
        return found


def _buckets_of(source: Source, figures: Figures, last: dict[str, Sequence[int]]) -> dict[str, float]:
    counts = [sum(column) for column in zip(_NO_COUNTS, *(h.counts for h in figures.histograms(source.metric).values()), strict=True)]
    before = last.get(source.name, _NO_COUNTS)  # this process counts them from its start
    last[source.name] = counts
    names = (source.name.format(bound) for bound in BUCKETS_MS)
    return {name: float(now - then) for name, now, then in zip(names, counts, before, strict=True)}


def _name_of(source: Source, labels: Labels) -> str | None:
    if source.only and not any(_fits(labels, pattern) for pattern in source.only):
        return None
    return source.name.format(".".join(labels))


def _fits(labels: Labels, pattern: tuple[str | None, ...]) -> bool:
    return all(wanted is None or wanted == label for label, wanted in zip(labels, pattern, strict=True))
