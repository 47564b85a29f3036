"""What the agent tells of itself: a broken latency budget with its trace, and a figure that is unlike itself."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, cast

from brainkernel.alerts import Alerting, Outward
from brainkernel.cli.live_report import JsonReport, TextReport
from brainkernel.clock import SimulatedClock
from brainkernel.learn.latency import LatencyMonitor
from brainkernel.metrics import Figures
from brainkernel.model import Span, Tier
from brainkernel.report import Everybody
from support.nouns import a_verdict
from support.stores import a_decision

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.learn.latency import Breach

MS = 1_000_000
RULES = """
alert_rules:
  - {name: slow, "on": budget_breach, severity: warning, actions: [log_alert]}
  - {name: strange, "on": anomaly, severity: warning, actions: [log_alert]}
"""


def a_breach() -> Breach:
    spans = (Span(stage="llm_queue", ns=20 * MS), Span(stage="llm", ns=900 * MS), Span(stage="total", ns=930 * MS))
    decision = a_decision(17, verdict=a_verdict(tier=Tier.LLM, model="groq/llama"), spans=spans)
    (breach,) = LatencyMonitor().add(decision, 0)
    return breach


def printed(report: JsonReport | TextReport, stream: io.StringIO) -> str:
    report.close()
    return stream.getvalue()


def test_broken_budget_is_an_event_with_its_trace(tmp_path: Path) -> None:
    """A program gets the times of all stages, a person a sentence, an alert rule its event."""
    (tmp_path / "alerts.yaml").write_text(RULES)
    clock, said, stream, text = SimulatedClock(), list[str](), io.StringIO(), io.StringIO()
    part = cast("Any", None)
    outward = Outward(asker=part, asking=part, judging=part, say=said.append, path_of=part, taking_back=part, log=part)
    alerting = Alerting(
        file=tmp_path / "alerts.yaml", readings=part, actions=part, cloud=part, clock=clock, figures=Figures(), outward=outward
    )
    as_json, as_text = JsonReport(stream, all_events=False), TextReport(text, clock, all_events=False)

    everybody = Everybody((as_json, as_text, alerting))
    everybody.breach(a_breach())
    everybody.anomaly("own_memory_bytes", "own_memory_bytes is 9e+07, unlike itself")

    breach, anomaly = (json.loads(line) for line in printed(as_json, stream).splitlines())
    assert (breach["type"], breach["budget"], breach["id"], breach["by"]) == ("budget_breach", "llm_groq", 17, "decision")
    assert (breach["ms"], breach["allowed_ms"]) == (900, 500)
    assert breach["trace"] == {"llm_queue": 20, "llm": 900, "total": 930}
    assert (anomaly["type"], anomaly["figure"]) == ("anomaly", "own_memory_bytes")
    assert "decision 17 broke budget llm_groq: 900 ms" in printed(as_text, text)
    assert [line.partition(":")[0] for line in said] == ["alert slow event (warning)", "alert strange event (warning)"]
