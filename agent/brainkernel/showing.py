"""What the gateway may read: figures over time, trends, and decisions, redacted here, before they reach its socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.classify.question import question_of, shortened
from brainkernel.classify.redact import redacted_path
from brainkernel.classify.redact_person import names_in
from brainkernel.commands import arguments_of
from brainkernel.escape import escaped
from brainkernel.link.control import latency_ms_of
from brainkernel.link.messages import DecisionAsked, DecisionsAsked, SeriesAsked
from brainkernel.link.reading import (
    SERIES,
    TRENDS,
    DecisionLine,
    DecisionLines,
    DecisionStory,
    Overview,
    SeriesArguments,
    SpanFigure,
    Switch,
    Word,
)
from brainkernel.model import Tier
from brainkernel.store.browsing import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from brainkernel.commands import Answer, Command
    from brainkernel.link.control import Status
    from brainkernel.link.frames import Peer
    from brainkernel.link.messages import ControlRequest, Read
    from brainkernel.measuring import Measuring
    from brainkernel.model import DecisionRecord
    from brainkernel.store import Audit, Decisions
    from brainkernel.store.browsing import Browser

TEXT_CHARS = 400
SWITCHES = 50
_SWITCHING = ("strategy", "strategy_forced", "strategy_auto", "pause", "resume", "rollback", "version", "alert")


def commands_of(measuring: Measuring) -> dict[str, Command]:
    """The commands of the control socket that read figures over time."""

    def series(request: ControlRequest, _peer: Peer, answer: Answer) -> None:
        wanted = arguments_of(request, SeriesArguments)
        answer(measuring.figures_of(wanted.names, wanted.from_s, wanted.to_s, wanted.step_s))

    return {SERIES: series, TRENDS: lambda _request, _peer, answer: answer(measuring.trends())}


class Showing:
    """Answers the questions of `link.messages.Read`."""

    def __init__(self, *, status: Callable[[], Status], measuring: Measuring, decisions: Decisions, browser: Browser, audit: Audit) -> None:
        self._status = status
        self._measuring = measuring
        self._decisions = decisions
        self._browser = browser
        self._audit = audit

    def answer_to(self, question: Read) -> msgspec.Struct | None:
        """The answer; None for a decision that is not there (any more)."""
        match question:
            case SeriesAsked():
                return self._measuring.figures_of(question.names, question.from_s, question.to_s, question.step_s)
            case DecisionsAsked():
                return self._page(question)
            case DecisionAsked():
                record = self._decisions.get(question.decision_id)
                return None if record is None else _story_of(record)
            case _:
                return self._overview()

    def _page(self, asked: DecisionsAsked) -> DecisionLines:
        wanted = Wanted(
            before_id=asked.before_id,
            active_only=asked.active_only,
            from_s=asked.from_s,
            to_s=asked.to_s,
            kind=asked.kind,
            category=asked.category,
            tier=asked.tier,
            late_ms=asked.late_ms,
            within_ms=asked.within_ms,
        )
        page = self._browser.page(wanted, asked.limit)
        return DecisionLines(decisions=tuple(_line_of(record) for record in page.records), next_before_id=page.next_before_id)

    def _overview(self) -> Overview:
        status = self._status()
        trends = self._measuring.trends()
        return Overview(
            version=status.version,
            mode=status.mode,
            paused=status.paused,
            uptime_s=status.uptime_s,
            loader=status.loader,
            llm=status.llm,
            counts=status.counts,
            strategy=status.strategy,
            quality=status.quality,
            stability=status.stability,
            budgets=status.budgets,
            latencies=status.latencies,
            trends=trends.trends,
            anomalies=trends.anomalies,
            switches=self._switches(),
            notices=tuple(_told(notice) for notice in status.notices),
        )

    def _switches(self) -> tuple[Switch, ...]:
        entries = [entry for entry in self._audit.page(500) if entry.deed in _SWITCHING]
        return tuple(Switch(e.time_ns, e.deed, _told(e.text), by_person=e.uid is not None) for e in entries[:SWITCHES])


def _line_of(record: DecisionRecord) -> DecisionLine:
    decision = record.decision
    program = decision.suspect.program
    names = names_in((program.exe, program.cwd))
    return DecisionLine(
        id=decision.id,
        time_ns=decision.time_ns,
        pid=decision.suspect.key.tgid,
        exe=_told(program.exe or program.comm, names),
        parent=_told(program.parents[0] if program.parents else decision.suspect.identity.parent_exe, names),
        category=decision.verdict.category.value,
        confidence=decision.verdict.confidence,
        tier=decision.verdict.tier.value,
        decision=decision.kind.value,
        limit=str(decision.limit) if decision.limit else "",
        active=record.active,
        reason=_told(decision.reason, names),
        latency_ms=latency_ms_of(record),
    )


def _story_of(record: DecisionRecord) -> DecisionStory:
    decision, action, outcome = record.decision, record.action, record.outcome
    verdict = decision.verdict
    asked = question_of(decision.suspect)
    names = names_in((decision.suspect.program.exe, decision.suspect.program.cwd))
    return DecisionStory(
        line=_line_of(record),
        argv=asked.argv,
        comm=asked.comm,
        parents=asked.parents,
        uid=asked.uid,
        cwd=asked.cwd,
        cgroup=asked.cgroup,
        evidence=asked.evidence,
        why_looked=tuple(_told(reason.text, names) for reason in decision.suspect.reasons),
        says=_told(verdict.model if verdict.tier is Tier.LLM else verdict.rule),
        verdict_reason=_told(verdict.reason, names),
        may_act=verdict.may_act,
        symptom=_told(decision.symptom.text, names) if decision.symptom else "",
        refusals={refusal.rule: _told(refusal.reason, names) for refusal in (*decision.refusals, *record.refusals)},
        spans=tuple(SpanFigure(span.stage, span.ns / 1e6) for span in decision.spans),
        route=action.route.value if action else "",
        unit=_told(action.unit, names) if action else "",
        changes=tuple(_told(f"{c.name}: {c.before or '(unset)'} -> {c.after}", names) for c in action.changes) if action else (),
        effect=_told(outcome.text, names) if outcome else "",
        helped=outcome.helped if outcome else None,
        release=record.release.value if record.release else "",
        released_ns=record.released_ns,
        feedback=tuple(Word(f.time_ns, f.good, f.label.value if f.label else "", _told(f.text, names)) for f in record.feedback),
    )


# What is stored was escaped on its way in; a live text was not. Escaping twice doubles a backslash and harms nobody.
def _told(text: str, names: frozenset[str] = frozenset()) -> str:
    return shortened(escaped(redacted_path(text, names=names), 4 * TEXT_CHARS), TEXT_CHARS)
