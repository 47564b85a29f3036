"""Decisions as OpenTelemetry traces: a span for each, with one below it for each stage, sent over OTLP.

It follows the daemon's decisions as a dashboard does, so the daemon knows nothing of it, and what it sends is redacted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import set_span_in_context

from brainkernel import __version__, metrics
from brainkernel.gateway.web.readings import UnansweredError

if TYPE_CHECKING:
    import threading

    from brainkernel.config import Tracing
    from brainkernel.gateway.web.readings import Readings
    from brainkernel.metrics import Figures

POLL_S = 5.0
PAGE = 100
_NS_PER_MS = 1_000_000


class Tracer:
    """Sends what was decided since it began. The exporter's own thread waits for the collector; what it cannot send, it drops."""

    def __init__(self, settings: Tracing, readings: Readings, figures: Figures) -> None:
        self._readings = readings
        self._figures = figures
        self._per_poll = max(1, round(settings.decisions_per_minute * POLL_S / 60))
        self._provider = TracerProvider(resource=Resource({"service.name": "brainkernel", "service.version": __version__}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.endpoint)))
        self._tracer = self._provider.get_tracer("brainkernel")
        self._newest: int | None = None

    def run(self, stop: threading.Event) -> None:
        """Follow the decisions until stopped."""
        while not stop.wait(POLL_S):
            self.poll()

    def poll(self) -> None:
        """Send the decisions that are new since the last call; the first one only remembers where it began."""
        try:
            lines = self._readings.decisions({"limit": str(PAGE)})["decisions"]
            begun, new = self._newest is not None, [line for line in lines if line["id"] > (self._newest or 0)]
            self._newest = max((line["id"] for line in lines), default=self._newest or 0)
            if not begun:
                return
            for line in new[: self._per_poll]:
                self._send(self._readings.decision(line["id"]))
            self._figures.add(metrics.TRACES, "sent", by=len(new[: self._per_poll]))
            self._figures.add(metrics.TRACES, "left_out", by=len(new[self._per_poll :]))
        except UnansweredError:
            return  # the daemon is away or busy; the next poll goes on from there

    def close(self) -> None:
        """Send what waits, as long as the exporter is willing to."""
        self._provider.shutdown()

    def _send(self, story: dict[str, Any]) -> None:
        line, stages = story["line"], [span for span in story["spans"] if span["stage"] != "total"]
        starts_ns = line["time_ns"] - int(line["latency_ms"] * _NS_PER_MS)
        root = self._tracer.start_span("decision", start_time=starts_ns, attributes=_attributes_of(story))
        for stage in stages:
            ends_ns = starts_ns + int(stage["ms"] * _NS_PER_MS)
            self._tracer.start_span(stage["stage"], context=set_span_in_context(root), start_time=starts_ns).end(ends_ns)
            starts_ns = ends_ns
        root.end(line["time_ns"])


def _attributes_of(story: dict[str, Any]) -> dict[str, str | int | float | bool]:
    line = story["line"]
    return {
        "brainkernel.decision.id": line["id"],
        "brainkernel.decision.kind": line["decision"],
        "brainkernel.decision.reason": line["reason"],
        "brainkernel.limit": line["limit"],
        "brainkernel.verdict.category": line["category"],
        "brainkernel.verdict.confidence": line["confidence"],
        "brainkernel.verdict.tier": line["tier"],
        "process.executable.path": line["exe"],
        "process.pid": line["pid"],
    }
