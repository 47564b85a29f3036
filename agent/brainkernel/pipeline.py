"""The stages in order. No I/O of its own: what a stage touches, it was given.

event -> gate -> enrich -> classify -> decide -> act        (observe and learn follow in `watch`)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from brainkernel.model import Decision, Span, Suspect, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.model import Exec, Symptom

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """One callable per stage. `ask` hands an unknown program to the LLM and says whether an answer may come."""

    clock: Clock
    gate: Callable[[Exec], Suspect | None]
    enrich: Callable[[Suspect, Exec | None], Suspect]
    tiers: tuple[tuple[str, Callable[[Suspect], Verdict | None]], ...]
    ask: Callable[[Suspect], bool]
    decide: Callable[[Suspect, Verdict, Symptom | None], Decision]
    act: Callable[[Decision], None]


def consider(event: Exec, stages: Stages) -> tuple[Suspect, Verdict] | None:
    """Carry one program start as far as it deserves to go.

    Most end at the first line: a known program behaving as before. A verdict that is `pending` waits for the
    LLM; every other goes on to `conclude`.
    """
    delivered_ns = stages.clock.boot_ns()
    if (suspect := stages.gate(event)) is None:
        return None
    delivery = Span(stage="event_delivery", ns=max(0, delivered_ns - event.time_ns))
    suspect = replace(suspect, spans=(delivery, _span("gate", delivered_ns, stages.clock)))
    return judge(suspect, stages, started=event)


def judge(suspect: Suspect, stages: Stages, started: Exec | None = None) -> tuple[Suspect, Verdict]:
    """Find out what a program is: evidence first, then the tiers, cheapest first, until one knows."""
    started_ns = stages.clock.boot_ns()
    suspect = _with_span(stages.enrich(suspect, started), "enrich", started_ns, stages.clock)
    for name, tier in stages.tiers:
        started_ns = stages.clock.boot_ns()
        verdict = tier(suspect)
        suspect = _with_span(suspect, name, started_ns, stages.clock)
        if verdict is not None:
            return suspect, verdict
    if stages.ask(suspect):
        return suspect, Verdict.unknown("the LLM was asked", pending=True)
    return suspect, Verdict.unknown("no rule, no earlier verdict and no LLM knows it")


def conclude(suspect: Suspect, verdict: Verdict, symptom: Symptom | None, stages: Stages) -> Decision:
    """Decide, and let `act` write if the decision says so."""
    started_ns = stages.clock.boot_ns()
    decision = stages.decide(suspect, verdict, symptom)
    # What deciding measured of itself (the safety check) is a span of its own.
    inner_ns = sum(span.ns for span in decision.spans)
    decided = Span(stage="decide", ns=max(0, stages.clock.boot_ns() - started_ns - inner_ns))
    spans = (*suspect.spans, *decision.spans, decided)
    total = Span(stage="total", ns=max(0, stages.clock.boot_ns() - suspect.seen_ns))
    decision = replace(decision, spans=(*spans, total))
    if decision.acts:
        stages.act(decision)
    return decision


def _span(stage: str, started_ns: int, clock: Clock) -> Span:
    return Span(stage=stage, ns=max(0, clock.boot_ns() - started_ns))


def _with_span(suspect: Suspect, stage: str, started_ns: int, clock: Clock) -> Suspect:
    return replace(suspect, spans=(*suspect.spans, _span(stage, started_ns, clock)))
