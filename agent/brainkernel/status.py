"""The agent's figures as people read them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.link.control import BudgetFigures, CacheUse, Counts, QualityFigure, Stability, StageFigures, StageLatency
from brainkernel.model import DecisionKind, ReasonCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.learn.latency import Use
    from brainkernel.learn.quality import Rate
    from brainkernel.learn.stability import StabilityIndex
    from brainkernel.learn.windows import Latency
    from brainkernel.metrics import Figures
    from brainkernel.sense.loader import KernelCounters

# In the order in which an event meets them.
STAGES = ("event_delivery", "gate", "enrich", "rules", "cache", "local_model", "llm_queue", "llm", "safety", "decide", "act", "total")
PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_RUNNING = (ReasonCode.CPU_SHARE.value, ReasonCode.RUN_DELAY.value, ReasonCode.FORK_STORM.value)


def counts_of(figures: Figures, counters: KernelCounters, llm_calls: int) -> Counts:
    """What passed since the start.

    An exec is new if the gate let it through, known if not; it may have been kept back in the kernel already.
    """
    suspects = {labels[0]: int(n) for labels, n in figures.by_labels(metrics.SUSPECTS).items()}
    anomalous = sum(suspects.get(code, 0) for code in _RUNNING)
    new = sum(suspects.values()) - anomalous
    seen = counters.exec.seen - counters.exec.own
    lost = counters.exec.failed + counters.undecodable
    return Counts(
        execs_seen=seen,
        known=max(0, seen - new - lost - counters.exec.suppressed),
        new=new,
        anomalous=anomalous,
        suspects=new + anomalous,
        llm_calls=llm_calls,
        decisions={labels[0]: int(n) for labels, n in figures.by_labels(metrics.DECISIONS).items()},
        active_limits=int(figures.value(metrics.LIMITS_ACTIVE)),
        limits_applied=int(sum(figures.by_labels(metrics.LIMITS_APPLIED).values())),
        limits_released=int(sum(figures.by_labels(metrics.LIMITS_RELEASED).values())),
        events_lost=counters.lost,
        suppressed=counters.exec.suppressed,
    )


def headline_of(mode: str, counts: Counts, *, paused: bool) -> str:
    """What the agent does, in one line."""
    wanted = counts.decisions.get(DecisionKind.LIMIT.value, 0)
    seen = f"{counts.execs_seen} programs started, {counts.new} were new"
    if mode == "observe":
        return f"observing, nothing is changed: {seen}, {wanted} would have been slowed down; see `brainkernel status`"
    state = "paused, nothing is changed" if paused else "enforcing"
    return f"{state}: {seen}, {counts.active_limits} are slowed down now; see `brainkernel status`"


def stages_of(figures: Figures) -> tuple[StageFigures, ...]:
    """How long each stage takes; stages that nothing reached are left out."""
    found = []
    histograms = figures.histograms(metrics.STAGE_SECONDS)
    for stage in STAGES:
        if (histogram := histograms.get((stage,))) is None:
            continue
        p50, p95, p99 = (1e3 * s for s in histogram.quantiles_s(0.5, 0.95, 0.99))
        found.append(StageFigures(stage, sum(histogram.counts), p50, p95, p99))
    return tuple(found)


def quality_of(rates: Iterable[Rate]) -> tuple[QualityFigure, ...]:
    """The figures of quality, as the control socket tells them."""
    return tuple(
        QualityFigure(measure=r.measure.value, window=r.window, samples=r.samples, value=r.value, low=r.low, high=r.high) for r in rates
    )


def budgets_of(uses: Iterable[Use]) -> tuple[BudgetFigures, ...]:
    """How the latency budgets are kept, as the control socket tells it."""
    return tuple(
        BudgetFigures(
            name=use.budget.name,
            target_ms=use.budget.target_ms,
            samples=use.samples,
            breaches=use.breaches,
            mean_ms=use.mean_ms,
            p50_ms=use.p50_ms,
            p95_ms=use.p95_ms,
            p99_ms=use.p99_ms,
        )
        for use in uses
    )


def cache_of(figures: Figures) -> CacheUse:
    """How the verdict cache is used, with foresight and without."""
    hits, misses, foreseen = (int(figures.value(metrics.CACHE_LOOKUPS, result)) for result in ("hit", "miss", "foreseen"))
    refreshes = int(figures.value(metrics.CACHE_REFRESHES))
    return CacheUse(lookups=hits + misses + foreseen, found=hits + foreseen, foreseen=foreseen, refreshes=refreshes)


def latencies_of(latencies: Iterable[Latency]) -> tuple[StageLatency, ...]:
    """Latencies by stage, tier and backend, as the control socket tells them; stages in their order."""
    return tuple(
        StageLatency(
            of=one.of,
            name=one.name,
            window=one.window,
            samples=one.samples,
            mean_ms=one.mean_ms,
            p50_ms=one.p50_ms,
            p95_ms=one.p95_ms,
            p99_ms=one.p99_ms,
        )
        for one in sorted(latencies, key=lambda one: STAGES.index(one.name) if one.name in STAGES else len(STAGES))
    )


def stability_of(index: StabilityIndex) -> Stability:
    """The index of stability, as the control socket tells it."""
    return Stability(index=index.value, parts=dict(index.parts))


def resident_bytes() -> int:
    """The resident memory of this process, from /proc/self/statm (proc_pid_statm(5))."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 # each second
        return int(file.read().split()[1]) * PAGE_BYTES


def export_kernel(figures: Figures, counters: KernelCounters) -> None:
    """Put the loader's books among the metrics; a sum that does not hold shows as `mismatch`."""
    for kind, fates in counters.by_kind().items():
        for fate in ("seen", "own", "known", "submitted", "suppressed", "failed"):
            figures.set(metrics.KERNEL_EVENTS, getattr(fates, fate), kind, fate)
        figures.set(metrics.KERNEL_EVENTS, 0 if fates.balanced else 1, kind, "mismatch")
    for cause, count in counters.failures.items():
        figures.set(metrics.KERNEL_FAILURES, count, cause)
