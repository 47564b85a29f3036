"""Who is told of what happens: the store always, a terminal or the journal beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brainkernel.clock import Clock
    from brainkernel.learn.latency import Breach
    from brainkernel.model import Action, Decision, Exec, Outcome, Refusal, ReleaseResult
    from brainkernel.store import Decisions


class Report(Protocol):
    """Someone who is told. No method may wait or raise."""

    def event(self, event: Exec, *, passed: bool) -> None:
        """A program started; `passed`: the gate let it through, so a decision follows."""

    def decision(self, decision: Decision) -> None:
        """Something was decided."""

    def action(self, decision: Decision, action: Action) -> None:
        """A limit stands, or its next step does."""

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """A limit could not be set."""

    def released(self, action: Action, result: ReleaseResult, why: str) -> None:
        """A limit ended."""

    def outcome(self, decision: Decision, outcome: Outcome) -> None:
        """What a limit achieved was measured."""

    def breach(self, _breach: Breach, /) -> None:
        """A latency budget was not kept; of one budget at most once a minute. Most have nothing to do with it."""
        return

    def anomaly(self, _name: str, _text: str, /) -> None:
        """One of our own figures left what it is used to, or is back. Most have nothing to do with it."""
        return

    def notice(self, text: str) -> None:
        """Something a person should know."""


class Everybody(Report):
    """Tells several, in order."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = reports

    def event(self, event: Exec, *, passed: bool) -> None:
        """Tell all."""
        for report in self._reports:
            report.event(event, passed=passed)

    def decision(self, decision: Decision) -> None:
        """Tell all."""
        for report in self._reports:
            report.decision(decision)

    def action(self, decision: Decision, action: Action) -> None:
        """Tell all."""
        for report in self._reports:
            report.action(decision, action)

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """Tell all."""
        for report in self._reports:
            report.not_applied(decision, refusal)

    def released(self, action: Action, result: ReleaseResult, why: str) -> None:
        """Tell all."""
        for report in self._reports:
            report.released(action, result, why)

    def outcome(self, decision: Decision, outcome: Outcome) -> None:
        """Tell all."""
        for report in self._reports:
            report.outcome(decision, outcome)

    def breach(self, breach: Breach, /) -> None:
        """Tell all."""
        for report in self._reports:
            report.breach(breach)

    def anomaly(self, name: str, text: str, /) -> None:
        """Tell all."""
        for report in self._reports:
            report.anomaly(name, text)

    def notice(self, text: str) -> None:
        """Tell all."""
        for report in self._reports:
            report.notice(text)


class Archive(Report):
    """Puts down what `explain` will show."""

    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock

    def event(self, event: Exec, *, passed: bool) -> None:
        """Events are not kept: the baseline is."""

    def decision(self, decision: Decision) -> None:
        """Keep it."""
        self._decisions.save(decision)

    def action(self, _decision: Decision, action: Action) -> None:
        """Keep it with its decision."""
        self._decisions.attach_action(action)

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """Keep it with its decision."""
        self._decisions.attach_refusals(decision.id, (refusal,))

    def released(self, action: Action, result: ReleaseResult, _why: str) -> None:
        """Keep it with its decision."""
        self._decisions.attach_release(action.id, result, self._clock.wall_ns())

    def outcome(self, _decision: Decision, outcome: Outcome) -> None:
        """Keep the latest with its decision."""
        self._decisions.attach_outcome(outcome)

    def notice(self, text: str) -> None:
        """Notices are for people who are there."""
