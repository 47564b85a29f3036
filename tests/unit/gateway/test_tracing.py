"""Decisions as traces, at a collector that reads OTLP with OpenTelemetry's own schema."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel import metrics
from brainkernel.config import Tracing
from brainkernel.gateway.tracing import Tracer
from brainkernel.metrics import Figures
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support import dashboard_data
from support.web_server import FakeDaemon, FakeSources

if TYPE_CHECKING:
    from collections.abc import Iterator


class Collector(http.server.ThreadingHTTPServer):
    """Keeps all spans it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.spans: list[Any] = []
        self.status = 200
        self.services: set[str] = set()


class _Request(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in sent.resource_spans if self.server.status == 200 else ():
            self.server.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the name is http.server's
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def a_daemon(decisions: int) -> FakeDaemon:
    return FakeDaemon(DecisionsAsked=dashboard_data.lines(decisions), DecisionAsked=dashboard_data.story())


def tracer(daemon: FakeDaemon, port: int, figures: Figures, per_minute: int = 60) -> Tracer:
    settings = Tracing(endpoint=f"http://127.0.0.1:{port}/v1/traces", decisions_per_minute=per_minute)
    return Tracer(settings, FakeSources(daemon).readings, figures)


def test_decision_becomes_a_trace_with_a_span_for_each_stage(collector: Collector) -> None:
    """What was decided since the start, once: its stages one after the other below it, its verdict as attributes."""
    figures, daemon = Figures(), a_daemon(3)
    made = tracer(daemon, collector.server_port, figures)
    made.poll()
    daemon.results["DecisionsAsked"] = dashboard_data.lines(4)
    made.poll()
    made.poll()
    made.close()

    (root,) = [span for span in collector.spans if span.name == "decision"]
    stages = [span for span in collector.spans if span.parent_span_id == root.span_id]
    told = {a.key: a.value for a in root.attributes}
    assert collector.services == {"brainkernel"}
    assert [span.name for span in stages] == ["gate", "/usr/bin/make"]
    assert stages[0].start_time_unix_nano == root.start_time_unix_nano
    assert stages[0].end_time_unix_nano == stages[1].start_time_unix_nano
    assert root.end_time_unix_nano - root.start_time_unix_nano == 1_700_000
    assert (told["brainkernel.decision.id"].int_value, told["brainkernel.verdict.tier"].string_value) == (6, "rules")
    assert figures.value(metrics.TRACES, "sent") == 1


def test_flood_of_decisions_is_sent_in_part_and_counted(collector: Collector) -> None:
    """No more than the setting says; how many were left out is a figure."""
    figures, daemon = Figures(), a_daemon(1)
    made = tracer(daemon, collector.server_port, figures, per_minute=24)
    made.poll()
    daemon.results["DecisionsAsked"] = dashboard_data.lines(80)
    made.poll()
    made.close()

    assert len([span for span in collector.spans if span.name == "decision"]) == 2
    assert (figures.value(metrics.TRACES, "sent"), figures.value(metrics.TRACES, "left_out")) == (2, 77)


def test_traces_wait_for_a_daemon_that_is_away(collector: Collector) -> None:
    """Nothing is raised, and what was decided meanwhile is sent when it is back."""
    figures, daemon = Figures(), a_daemon(1)
    made = tracer(daemon, collector.server_port, figures)
    made.poll()
    answers = daemon.results.copy()
    daemon.results.clear()
    made.poll()
    daemon.results |= answers | {"DecisionsAsked": dashboard_data.lines(2)}
    made.poll()
    made.close()

    assert figures.value(metrics.TRACES, "sent") == 1


def test_what_the_collector_refused_is_sent_again(collector: Collector) -> None:
    """A send that failed loses no trace and is not counted as sent; each decision reaches the collector once."""
    figures, daemon = Figures(), a_daemon(1)
    made = tracer(daemon, collector.server_port, figures)
    made.poll()
    daemon.results["DecisionsAsked"] = dashboard_data.lines(3)
    collector.status = 400
    made.poll()
    refused = figures.value(metrics.TRACES, "sent")
    collector.status = 200
    made.poll()
    made.poll()
    made.close()

    assert refused == 0
    assert len([span for span in collector.spans if span.name == "decision"]) == 2
    assert figures.value(metrics.TRACES, "sent") == 2
    assert figures.value(metrics.TRACES, "left_out") == 0


def test_decision_that_the_daemon_did_not_tell_of_in_time_is_asked_for_again(collector: Collector) -> None:
    """The list came, the story did not: the next poll sends it."""
    figures, daemon = Figures(), a_daemon(1)
    made = tracer(daemon, collector.server_port, figures)
    made.poll()
    daemon.results["DecisionsAsked"] = dashboard_data.lines(2)
    story = daemon.results.pop("DecisionAsked")
    made.poll()
    daemon.results["DecisionAsked"] = story
    made.poll()
    made.close()

    assert figures.value(metrics.TRACES, "sent") == 1
