"""Decisions as OpenTelemetry traces: a span for each, with one below it for each stage, sent over OTLP.

It follows the daemon's decisions as a dashboard does, so the daemon knows nothing of it, and what it sends is redacted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import set_span_in_context

from brainkernel import __version__, metrics
from brainkernel.gateway.web.readings import UnansweredError

if TYPE_CHECKING:
    import threading

    from opentelemetry.sdk.trace import ReadableSpan

    from brainkernel.config import Tracing
    from brainkernel.gateway.web.readings import Readings
    from brainkernel.metrics import Figures

POLL_S = 5.0
PAGE = 100
_NS_PER_MS = 1_000_000


class _Ended(SpanProcessor):
    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def take(self) -> list[ReadableSpan]:
        spans, self._spans = self._spans, []
        return spans


class Tracer:
    """Sends what was decided since it began. It has a thread of its own, which waits for the collector.

    What the collector does not take is sent again with the next poll, or left out where more was decided than a poll sends.
    """

    def __init__(self, settings: Tracing, readings: Readings, figures: Figures) -> None:
        self._readings = readings
        self._figures = figures
        self._per_poll = max(1, round(settings.decisions_per_minute * POLL_S / 60))
        # Not the SDK's own processor, which drops what it cannot send and does not say so.
        self._ended = _Ended()
        self._exporter = OTLPSpanExporter(settings.endpoint)
        self._provider = TracerProvider(resource=Resource({"service.name": "brainkernel", "service.version": __version__}))
        self._provider.add_span_processor(self._ended)
        self._tracer = self._provider.get_tracer("brainkernel")
        self._newest: int | None = None  # decision that the collector has, or that was left out

    def run(self, stop: threading.Event) -> None:
        """Follow the decisions until stopped."""
        while not stop.wait(POLL_S):
            self.poll()

    def poll(self) -> None:
        """Send the decisions that are new since the last call; the first one only remembers where it began."""
        try:
            ids = sorted(line["id"] for line in self._readings.decisions({"limit": str(PAGE)})["decisions"])
            if self._newest is None:
                self._newest = max(ids, default=0)
                return
            new = [number for number in ids if number > (self._newest or 0)]
            self._leave_out(new[: -self._per_poll])
            for number in new[-self._per_poll :]:
                self._trace(self._readings.decision(number))
                if self._exporter.export(self._ended.take()) is not SpanExportResult.SUCCESS:
                    return
                self._newest = number
                self._figures.add(metrics.TRACES, "sent")
        except UnansweredError:
            return  # the daemon is away or busy; the next poll goes on from there

    def close(self) -> None:
        """Let go of the collector."""
        self._provider.shutdown()
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # as the SDK has it

    def _leave_out(self, numbers: list[int]) -> None:
        if numbers:
            self._newest = numbers[-1]
            self._figures.add(metrics.TRACES, "left_out", by=len(numbers))

    def _trace(self, story: dict[str, Any]) -> None:
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
