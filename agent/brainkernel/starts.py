"""The first way into the pipeline: program starts, as the kernel tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from brainkernel.metrics import DECISIONS, RECORDS_RECEIVED, REFUSALS, STAGE_SECONDS, SUSPECTS, VERDICTS
from brainkernel.model import Decision, Exec, Exit, Fork, ProcessEvent, Suppressed, Suspect, Symptom, Verdict
from brainkernel.pipeline import Stages, conclude, consider, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.floods import Floods
    from brainkernel.metrics import Figures
    from brainkernel.report import Report


class Lineage(Protocol):
    """Who follows the process tree."""

    def on_exec(self, event: Exec) -> None:
        """A process runs another program now."""
        ...

    def on_fork(self, event: Fork) -> None:
        """A process was made."""
        ...

    def on_exit(self, event: Exit) -> None:
        """A process ended."""
        ...


class Starts:
    """Carries events through the pipeline and counts what becomes of them."""

    def __init__(
        self,
        *,
        stages: Stages,
        lineage: Lineage,
        figures: Figures,
        report: Report,
        floods: Floods,
        remember: Callable[[Exec, bool], None],
        waiting: Callable[[], list[tuple[Suspect, Verdict]]],
        answered: Callable[[Suspect], None],
    ) -> None:
        """Take the stages and who is told; `remember` teaches the gate in the kernel (True: nothing was new about this start), `waiting` gives what the LLM answered, `answered` is told of whom."""
        self._stages = stages
        self._lineage = lineage
        self._figures = figures
        self._report = report
        self._floods = floods
        self._remember = remember
        self._waiting = waiting
        self._answered = answered

    def on_event(self, event: ProcessEvent) -> None:
        """Take one event from a loader."""
        match event:
            case Exec():
                self._figures.add(RECORDS_RECEIVED, "exec")
                self._on_exec(event)
            case Fork():
                self._figures.add(RECORDS_RECEIVED, "fork")
                self._lineage.on_fork(event)
            case Exit():
                self._figures.add(RECORDS_RECEIVED, "exit")
                self._lineage.on_exit(event)
            case Suppressed():
                self._figures.add(RECORDS_RECEIVED, "suppressed")
                self._floods.add(event)

    def _on_exec(self, event: Exec) -> None:
        self._lineage.on_exec(event)
        judged = consider(event, self._stages)
        # Only now: what the kernel's gate knows, it does not report any more.
        self._remember(event, judged is None)
        self._report.event(event, passed=judged is not None)
        if judged is None:
            return
        self._handle(*judged)

    def _handle(self, suspect: Suspect, verdict: Verdict) -> None:
        self._figures.add(SUSPECTS, suspect.reasons[0].code.value)
        if not verdict.pending:
            self.decide(suspect, verdict, None)

    def collect(self) -> None:
        """Tell of floods; go on with those about whom the LLM has answered, or has not in time."""
        self._floods.tick()
        for suspect, verdict in self._waiting():
            self.decide(suspect, verdict, None)
            self._answered(suspect)

    def close(self, suppressed: int) -> None:
        """Tell of what flood control held back, up to the last one of all that the loader counted."""
        self._floods.close(suppressed)

    def judge_and_decide(self, suspect: Suspect, symptom: Symptom) -> Decision:
        """Carry a running program that hurts others through the same stages; an LLM is asked, not waited for."""
        suspect, verdict = judge(suspect, self._stages)
        self._figures.add(SUSPECTS, suspect.reasons[0].code.value)
        return self.decide(suspect, verdict, symptom)

    def notice(self, suspect: Suspect) -> None:
        """Carry a running program that is unlike itself and hurts nobody through the same stages."""
        self._handle(*judge(suspect, self._stages))

    def decide(self, suspect: Suspect, verdict: Verdict, symptom: Symptom | None) -> Decision:
        """Decide, count and report."""
        decision = conclude(suspect, verdict, symptom, self._stages)
        self._figures.add(VERDICTS, verdict.category.value, verdict.tier.value)
        self._figures.add(DECISIONS, decision.kind.value)
        for refusal in decision.refusals:
            self._figures.add(REFUSALS, refusal.rule)
        for span in decision.spans:
            self._figures.observe(STAGE_SECONDS, span.ns / 1e9, span.stage)
        self._report.decision(decision)
        return decision
