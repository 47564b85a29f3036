"""Every metric, declared once; and the figures the daemon keeps of them.

The daemon must not import an HTTP client or server (prometheus_client brings both), so it counts here and
sends `Figures.snapshot()` through the gateway's socket; the gateway makes Prometheus text of it. Label values
come from enums or bounded lists only: never a pid, never an argv.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class MetricKind(Enum):
    """How a figure behaves over time, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


# From 50 us, where a gate's answer lies, to 10 s, beyond which a decision is late for anything.
LATENCY_BUCKETS_S = (
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name by Prometheus' conventions (base units, `_total`), help and labels."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()


def _counter(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"brainkernel_{name}_total", MetricKind.COUNTER, help_text, labels)


def _gauge(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"brainkernel_{name}", MetricKind.GAUGE, help_text, labels)


KERNEL_EVENTS = _counter("kernel_events", "Kernel events by kind and what became of them.", "kind", "fate")
KERNEL_FAILURES = _counter("kernel_failures", "Failed operations of the BPF programs by cause.", "cause")
BPF_SECONDS = _counter("bpf_run_seconds", "Time in which our BPF programs ran, while the sysctl kernel.bpf_stats_enabled is 1.", "program")
BPF_RUNS = _counter("bpf_runs", "How often they ran.", "program")
RECORDS_RECEIVED = _counter("records_received", "Records read from the ring buffer.", "kind")
PROCESSES_HEALED = _counter("processes_healed", "Processes found in a snapshot after records were lost, and handled then.")
SUSPECTS = _counter("suspects", "Programs that passed the gate, by their first reason.", "reason")
VERDICTS = _counter("verdicts", "Verdicts by category and tier.", "category", "tier")
DECISIONS = _counter("decisions", "Decisions by kind.", "kind")
REFUSALS = _counter("refusals", "Limits that a safety rule refused, by rule.", "rule")
LIMITS_APPLIED = _counter("limits_applied", "Limits written, by route.", "route")
LIMITS_RELEASED = _counter("limits_released", "Limits ended, by result.", "result")
LIMITS_ACTIVE = _gauge("limits_active", "Limits that stand now.")
STAGE_SECONDS = Metric("brainkernel_stage_seconds", MetricKind.HISTOGRAM, "Time of one stage for one suspect.", ("stage",))
LLM_QUESTIONS = _counter("llm_questions", "Batches of programs put to the gateway, by what became of them.", "fate")
LLM_SECONDS = Metric("brainkernel_llm_seconds", MetricKind.HISTOGRAM, "Time of one LLM call.", ("backend",))
LLM_CALLS = _counter("llm_calls", "LLM calls by backend and result.", "backend", "result")
LLM_TOKENS = _counter("llm_tokens", "Tokens sent to and received from the LLM.", "backend", "direction")
LLM_COST = _counter(
    "llm_cost_dollars", "What LLM calls cost, in US dollars; a model without a known price counts nothing.", "backend", "model"
)
LLM_FAILURES = _counter("llm_failures", "LLM answers not used, by cause.", "backend", "cause")
PROTOCOL_ERRORS = _counter("protocol_errors", "Messages dropped at a socket, by socket and cause.", "socket", "cause")
DAEMON_CONNECTED = _gauge("daemon_connected", "1 while the gateway's link to the daemon stands.")
PRESSURE = _gauge("cpu_pressure_ratio", "PSI cpu some, over the last window.")
RUN_QUEUE_SECONDS = _gauge("run_queue_wait_seconds", "Run-queue wait of the host over the last window.", "percentile")
RESIDENT_BYTES = _gauge("resident_memory_bytes", "Resident memory of the process.", "process")
LOADER = _gauge("loader_info", "1 for the loader in use.", "loader")
LOADER_REFUSED = _gauge("loader_refused_info", "1 for a loader that was tried before and could not be opened here.", "loader")
MODE = _gauge("mode_info", "1 for the mode in force.", "mode")
QUALITY = _gauge("quality_ratio", "How right the decisions were; absent while there is not enough data.", "measure", "window")
QUALITY_BOUND = _gauge("quality_bound_ratio", "95 % Wilson interval of quality_ratio.", "measure", "window", "bound")
QUALITY_SAMPLES = _gauge("quality_samples", "Weight of the samples behind quality_ratio.", "measure", "window")
STABILITY = _gauge("stability_ratio", "1: the host is calm, people undo nothing and we make no errors.")
BUDGET_BREACHES = _counter("budget_breaches", "Latency budgets not kept, by one decision or by a window's quantile.", "budget", "by")
BUDGET_SECONDS = _gauge("budget_window_seconds", "Latency under a budget over the last 5 minutes.", "budget", "percentile")
DECISION_SECONDS = Metric(
    "brainkernel_decision_seconds", MetricKind.HISTOGRAM, "From the kernel's event to the decision, by who gave the verdict.", ("tier",)
)
LATENCY = _gauge(
    "latency_window_seconds", "Latency over the last 5 minutes, by stage, by tier (total), by backend (LLM).", "of", "name", "figure"
)
CACHE_LOOKUPS = _counter("cache_lookups", "Lookups in the verdict cache: hit, miss, or foreseen (a hit by a refresh in time).", "result")
CACHE_REFRESHES = _counter("cache_refreshes", "Verdicts asked for again before they expired, since their programs were likely to come.")
ANOMALIES = _counter("anomalies", "Times one of our own figures left what it is used to.", "figure")
HOST_CPU = _gauge("host_cpu_ratio", "Share of the host's CPU time in use, over the last second.")
HOST_MEMORY = _gauge("host_memory_bytes", "Memory of the host: total, available.", "state")
HOST_LOAD = _gauge("host_load1", "Load average of one minute.")
HOST_PRESSURE = _gauge("host_pressure_ratio", "PSI some over the last second, by resource.", "resource")
GPU_BUSY = _gauge("gpu_busy_ratio", "Share of time in which a GPU was busy, where its driver tells (amdgpu).", "card")
GPU_MEMORY = _gauge("gpu_memory_bytes", "Memory of a GPU: total, used.", "card", "state")
CPU_SECONDS = _counter("process_cpu_seconds", "CPU time that a process of ours used.", "process")
STATE_BYTES = _gauge("state_bytes", "Size of a file in the state directory.", "file")
STRATEGY = _gauge("strategy_info", "1 for the strategy in force.", "strategy")
STRATEGY_CHANGES = _counter("strategy_changes", "Changes of the strategy, by the rules, by an alert, or forced by a person.", "to", "by")
FEEDBACK = _counter("feedback", "Words of people about decisions.", "word")
VERSION = _gauge("version", "Number of the version of policy, rules and models in force; 0: none can be kept.")
LEARNING_WORDS = _gauge("learning_words", "Words that a model can learn from.", "task")
LEARNING_SESSIONS = _counter("learning_sessions", "Times that a model learned, by what became of it.", "task", "result")
DRIFTS = _counter("drifts", "Times that a model's mistakes became more than they were.", "task")

TRACES = _counter("traces", "Decisions as OpenTelemetry traces, by what became of them.", "result")

ALERTS = _counter("alerts", "Changes of alerts by rule and what they say: firing, resolved, event, test.", "rule", "state")
ALERT_FIRING = _gauge("alert_firing", "1 while this rule fires: its condition holds, or what its event made the agent do lasts.", "rule")
ALERT_ACTIONS = _counter("alert_actions", "Actions that alerts asked for, by what became of them.", "action", "result")
ALERT_MESSAGES = _counter("alert_messages", "Notifications by channel and what became of them.", "channel", "result")

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

Labels = tuple[str, ...]
RECENT_DURATIONS = 2_048  # per stage: exact quantiles for people, 64 KB each


@dataclass(slots=True)
class Histogram:
    """Counts per bucket (upper bounds in `LATENCY_BUCKETS_S`, the last one unbounded), and the sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    sum_s: float = 0.0
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_DURATIONS))

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect.bisect_left(LATENCY_BUCKETS_S, seconds)] += 1
        self.sum_s += seconds
        self.recent_s.append(seconds)

    def quantiles_s(self, *quantiles: float) -> tuple[float, ...]:
        """Quantiles of the last `RECENT_DURATIONS` durations, by the nearest rank; zeros if there are none."""
        ordered = sorted(self.recent_s)
        return tuple(ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0 for q in quantiles)


class Figures:
    """The values of all metrics in one process."""

    def __init__(self) -> None:
        """Start with every unlabelled figure at zero, so that a first increase is seen as one."""
        self._values: dict[str, dict[Labels, float]] = {
            m.name: ({} if m.labels else {(): 0.0}) for m in METRICS if m.kind is not MetricKind.HISTOGRAM
        }
        self._histograms: dict[str, dict[Labels, Histogram]] = {m.name: {} for m in METRICS if m.kind is MetricKind.HISTOGRAM}

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Increase a counter."""
        values = self._values[metric.name]
        values[labels] = values.get(labels, 0.0) + by

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge, or a counter that is kept elsewhere (in the kernel)."""
        self._values[metric.name][labels] = value

    def clear(self, metric: Metric) -> None:
        """Forget all values of a gauge: no value is better than an old one."""
        self._values[metric.name].clear()

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Count one duration in a histogram."""
        self._histograms[metric.name].setdefault(labels, Histogram()).observe(seconds)

    def value(self, metric: Metric, *labels: str) -> float:
        """Read one value; 0 if it was never set."""
        return self._values[metric.name].get(labels, 0.0)

    def by_labels(self, metric: Metric) -> dict[Labels, float]:
        """Read all values of a metric."""
        return dict(self._values[metric.name])

    def histograms(self, metric: Metric) -> dict[Labels, Histogram]:
        """The histograms of a metric by labels."""
        return self._histograms[metric.name]

    def snapshot(self) -> dict[str, Any]:
        """All values as plain JSON types: `{name: [[labels...], value]}`, histograms as `[counts, sum]`."""
        plain: dict[str, Any] = {name: [[list(k), v] for k, v in values.items()] for name, values in self._values.items()}
        for name, histograms in self._histograms.items():
            plain[name] = [[list(k), [h.counts, h.sum_s]] for k, h in histograms.items()]
        return plain
