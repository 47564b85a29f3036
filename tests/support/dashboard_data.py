"""Answers of a daemon for the dashboard: of the shapes that link/reading.py declares, with a hostile text wherever text can be."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import msgspec
from brainkernel import metrics
from brainkernel.link import control, people, reading
from brainkernel.monitoring.sources import BUCKETS_MS
from support.web_server import FakeDaemon, FakeSources

if TYPE_CHECKING:
    from brainkernel.link.messages import SeriesAsked

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>\"'`${alert(1)}\u202e\u0007"
NAMES = (
    "decision_mean_ms", "decision_p50_ms", "decision_p95_ms", "decision_p99_ms", "decisions_per_s.note", "decisions_per_s.limit",
    "host_cpu_pct", "own_cpu_pct", "own_memory_bytes", "pressure_pct.cpu", "quality.satisfaction.24h", "stability", "suspects_per_s",
    "strategy.balanced", "strategy.conservative", "feedback_per_s.good", *(f"decision_times.{bound}" for bound in BUCKETS_MS),
)  # fmt: skip
TIMES = {"decision_times.5": 4.0, "decision_times.25": 0.0, "decision_times.1000": 1.0, "decision_times.inf": 2.0}


def series(asked: SeriesAsked) -> dict[str, Any]:
    """A wave for each name, with a gap."""
    lines = {}
    names, step_s = asked.names, max(1, asked.step_s)
    start_s = asked.from_s - asked.from_s % step_s
    points = max(0, (asked.to_s - start_s) // step_s)
    for place, name in enumerate(names):
        mean = [None if 20 < n < 24 else round(10 + 5 * math.sin(n / 9 + place), 3) for n in range(points)]
        if name.startswith("decision_times."):  # so many each second
            mean = [TIMES.get(name, 0.0)] * points
        lines[name] = reading.SeriesLine(
            low=tuple(None if v is None else v - 1 for v in mean),
            mean=tuple(mean),
            high=tuple(None if v is None else v + 1 for v in mean),
            samples=tuple(0 if v is None else step_s for v in mean),
        )
    return builtins(reading.SeriesFigures(start_s=start_s, step_s=step_s, series=lines, names=NAMES))


def line(number: int, text: str = "/usr/bin/make") -> reading.DecisionLine:
    return reading.DecisionLine(
        id=number, time_ns=1_790_000_000_000_000_000 + number * 10**9, pid=4000 + number, exe=text, parent=text, category="development",
        confidence=0.93, tier="rules", decision="limit" if number % 3 == 0 else "note", limit="cpu_weight=20" if number % 3 == 0 else "",
        active=number % 6 == 0, reason=text, latency_ms=1.7,
    )  # fmt: skip


def lines(count: int = 20, text: str = "/usr/bin/make") -> dict[str, Any]:
    return builtins(reading.DecisionLines(decisions=tuple(line(n, text) for n in range(count, 0, -1))))


def story(text: str = "/usr/bin/make") -> dict[str, Any]:
    return builtins(
        reading.DecisionStory(
            line=line(6, text), argv=(text, text), comm=text[:15], parents=(text, text), uid=1000, cwd=text, cgroup=text,
            evidence={text[:40]: text}, why_looked=(text,), says=text, verdict_reason=text, may_act=True, symptom=text,
            refusals={text[:40]: text}, spans=(reading.SpanFigure("gate", 0.2), reading.SpanFigure(text[:40], 1.5)), route=text[:40],
            unit=text, changes=(text,), effect=text, helped=True, release=text, released_ns=1, feedback=(reading.Word(1, True, text, text),),
        )
    )  # fmt: skip


def overview(text: str = "a sentence") -> dict[str, Any]:
    return builtins(
        reading.Overview(
            version="1", mode="observe", paused=False, uptime_s=3700.0, loader="core", llm=control.LlmUse(text, text, text, text),
            counts=control.Counts(execs_seen=1200, decisions={"note": 120, "limit": 3}),
            strategy=people.StrategyState(strategy=text, why=text, forced=False, throttle_threshold=0.5, check_interval_s=10.0),
            quality=(control.QualityFigure(measure="satisfaction", window="24h", samples=30, value=0.8, low=0.6, high=0.9),
                     control.QualityFigure(measure=text, window="24h", samples=1)),
            stability=control.Stability(0.97, {text: 0.03}), budgets=(),
            trends=(reading.Trend(name=text, unit="ms", help=text, now=12.0, mean=10.0, slope_per_h=1.0, bound=3000.0, breach_in_s=7200.0),
                    reading.Trend(name="decision_mean_ms", unit="ms", help="mean", now=12.0, slope_per_h=40.0, bound=15.0),
                    reading.Trend(name="x", unit="%", help="y", now=1.0, anomalous_since_s=90.0),
                    reading.Trend(name="stability", unit="", help="calm", now=0.7, bound=0.8, above=False)),
            anomalies=(reading.Anomaly(name="decision_mean_ms", begun_s=int(time.time()) - 300, ended_s=int(time.time()) - 100),
                       reading.Anomaly(name=text, begun_s=1_790_000_000, text=text)), notices=(text,),
        )
    )  # fmt: skip


def builtins(answer: msgspec.Struct) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(answer)
    return made


def sources(text: str = "/usr/bin/make") -> FakeSources:
    """A daemon that says `text` wherever it says something."""
    found = FakeSources(
        FakeDaemon(SeriesAsked=series, OverviewAsked=overview(text), DecisionsAsked=lines(text=text), DecisionAsked=story(text))
    )
    for metric in (metrics.VERDICTS, metrics.REFUSALS, metrics.LLM_CALLS, metrics.LLM_TOKENS, metrics.LLM_FAILURES, metrics.FEEDBACK):
        found.figures.add(metric, *[text for _ in metric.labels], by=3)
    return found
