"""Figures made into Prometheus' text, by prometheus_client from the declarations in `metrics`."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from brainkernel.metrics import LATENCY_BUCKETS_S, METRICS, Figures, Metric, MetricKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from prometheus_client import Metric as Family

SERIES_MAX = 500  # per metric: labels are bounded by contract; this bounds them when the contract is broken
_LABEL_CHARS = 200

Sample = tuple[tuple[str, ...], Any]


class SharedFigures(Figures):
    """Figures that several threads count in."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Increase a counter."""
        with self._lock:
            super().add(metric, *labels, by=by)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            super().set(metric, value, *labels)

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Count one duration."""
        with self._lock:
            super().observe(metric, seconds, *labels)

    def snapshot(self) -> dict[str, Any]:
        """All values as plain JSON types."""
        with self._lock:
            return super().snapshot()


class SnapshotCollector(Collector):
    """What `metrics.METRICS` declares, with the values of one or more snapshots added up.

    A snapshot came over a socket: what is not of the declared shape is left out, and counted by `dropped`.
    """

    def __init__(self, snapshots: Iterable[dict[str, Any]]) -> None:
        self._snapshots = list(snapshots)
        self.dropped = 0

    def collect(self) -> Iterator[Family]:
        """Yield one family per metric that has a value somewhere."""
        for metric in METRICS:
            samples = self.samples_of(metric)
            if samples:
                yield _family_of(metric, samples)

    def samples_of(self, metric: Metric) -> dict[tuple[str, ...], Any]:
        """The values of a metric by labels: numbers, or `(counts, sum)` of a histogram."""
        merged: dict[tuple[str, ...], Any] = {}
        for snapshot in self._snapshots:
            entries = snapshot.get(metric.name, ())
            if not isinstance(entries, list | tuple):
                self.dropped += 1
                continue
            for entry in entries:
                sample = _sample_of(metric, entry)
                if sample is None or (sample[0] not in merged and len(merged) >= SERIES_MAX):
                    self.dropped += 1
                    continue
                labels, value = sample
                merged[labels] = _sum_of(metric, merged[labels], value) if labels in merged else value
        return merged


def text_of(snapshots: Iterable[dict[str, Any]]) -> bytes:
    """The exposition of these snapshots together, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    collector = SnapshotCollector(snapshots)
    registry.register(collector)
    return generate_latest(registry)


def resident_bytes(statm: Path, page_bytes: int) -> int:
    """This process' resident memory, from `/proc/self/statm` (proc(5), second field, in pages)."""
    return int(statm.read_text(encoding="ascii").split()[1]) * page_bytes


def _sample_of(metric: Metric, entry: object) -> Sample | None:
    if not isinstance(entry, list | tuple) or len(entry) != 2:  # noqa: PLR2004 # labels and value
        return None
    labels, value = entry
    if not isinstance(labels, list | tuple) or len(labels) != len(metric.labels) or not all(isinstance(x, str) for x in labels):
        return None
    checked = _histogram_of(value) if metric.kind is MetricKind.HISTOGRAM else _number_of(value)
    return None if checked is None else (tuple(str(x)[:_LABEL_CHARS] for x in labels), checked)


def _number_of(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _histogram_of(value: object) -> tuple[list[float], float] | None:
    if not isinstance(value, list | tuple) or len(value) != 2 or not isinstance(value[0], list | tuple):  # noqa: PLR2004
        return None
    counts = [number for number in map(_number_of, value[0]) if number is not None]
    total = _number_of(value[1])
    if total is None or len(counts) != len(LATENCY_BUCKETS_S) + 1 or len(counts) != len(value[0]):
        return None
    return counts, total


def _sum_of(metric: Metric, one: Any, other: Any) -> Any:
    if metric.kind is MetricKind.HISTOGRAM:
        return [a + b for a, b in zip(one[0], other[0], strict=True)], one[1] + other[1]
    return other if metric.kind is MetricKind.GAUGE else one + other


def _family_of(metric: Metric, samples: dict[tuple[str, ...], Any]) -> Family:
    if metric.kind is MetricKind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, (counts, total) in samples.items():
            histogram.add_metric(labels, _buckets_of(counts), total)
        return histogram
    make: Callable[..., Any] = CounterMetricFamily if metric.kind is MetricKind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples.items():
        family.add_metric(labels, value)
    return family  # type: ignore[no-any-return]


def _buckets_of(counts: list[float]) -> list[tuple[str, float]]:
    bounds = [floatToGoString(bound) for bound in (*LATENCY_BUCKETS_S, math.inf)]  # type: ignore[no-untyped-call]
    running, buckets = 0.0, []
    for bound, count in zip(bounds, counts, strict=True):
        running += count
        buckets.append((bound, running))
    return buckets
