"""What people say to the agent about its decisions, and what follows from it; and the log of who said what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from brainkernel.decide.approvals import DENIED_NS, Subject
from brainkernel.effective import StrategyFile
from brainkernel.errors import UsageError
from brainkernel.learn.experience import lesson_of
from brainkernel.learn.strategy import Strategy
from brainkernel.link import people
from brainkernel.model import AuditEntry, DecisionKind, Feedback

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.decide.approvals import Approvals, Pending
    from brainkernel.judging import Judging
    from brainkernel.learn.strategy import Strategist
    from brainkernel.link.frames import Peer
    from brainkernel.model import Decision, Evidence, Lesson, ProcessKey
    from brainkernel.store import Audit, Decisions

ALWAYS = {"approve_always": True, "deny_always": False}
TIMED_OUT, DENIED = "timed_out", "deny"
FORCED, AUTO = "strategy_forced", "strategy_auto"


class Oversight:
    """People's words. Who speaks is taken from SO_PEERCRED by the control socket."""

    def __init__(
        self,
        *,
        decisions: Decisions,
        log: Audit,
        approvals: Approvals,
        judging: Judging,
        clock: Clock,
        learn: Callable[[Lesson], None],
        reconsider: Callable[[ProcessKey], None],
        forced: Callable[[StrategyFile, str], None],
    ) -> None:
        """Take up what held always before. `reconsider` lets a process be decided about again as soon as it hurts, `forced` keeps a forced strategy."""
        self._decisions = decisions
        self._log = log
        self._approvals = approvals
        self._judging = judging
        self._clock = clock
        self._learn = learn
        self._reconsider = reconsider
        self._forced = forced
        for entry in log.of(ALWAYS):
            approvals.hold(Subject(entry.exe, entry.script, entry.category), allowed=ALWAYS[entry.deed])
        self._deny_as_before(log.of((DENIED,)))
        self._force_as_before(log.of((FORCED, AUTO))[-1:])

    def feedback(self, decision: Decision, arguments: people.FeedbackArguments, peer: Peer) -> people.Noted:
        """Keep a word about a decision; a bad one about a limit leaves the program alone for a day, as an undo does."""
        said = Feedback(time_ns=self._clock.wall_ns(), good=arguments.good, label=arguments.label, text=arguments.text, uid=peer.uid)
        self._decisions.attach_feedback(decision.id, said)
        self._judging.said(decision, said)
        if said.good or decision.kind is not DecisionKind.LIMIT:
            return people.Noted(decision.id, "noted")
        self._learn(lesson_of(decision, undone_by_person=True))
        return people.Noted(decision.id, f"noted: {decision.suspect.program.comm} is not limited again for a day")

    def pending(self) -> people.PendingLimits:
        """The limits that wait for a person."""
        now_ns = self._clock.boot_ns()
        return people.PendingLimits(tuple(_waiting(pending, now_ns) for pending in self._approvals.waiting))

    def answer(self, arguments: people.AnswerArguments, peer: Peer, *, allowed: bool) -> people.Noted:
        """Take a yes or a no to a pending limit. Raises UsageError if nothing waits under that number."""
        pending = self._approvals.answer(arguments.id, self._clock.boot_ns(), allowed=allowed, always=arguments.always)
        if pending is None:
            msg = f"nothing waits under {arguments.id} (any more); `brainkernel pending` shows what does"
            raise UsageError(msg)
        deed = f"{'approve' if allowed else 'deny'}{'_always' if arguments.always else ''}"
        self._log.add(replace(self._about(pending, deed), uid=peer.uid, pid=peer.pid))
        self._judging.said(pending.decision, Feedback(time_ns=self._clock.wall_ns(), good=allowed, uid=peer.uid))
        name = pending.decision.suspect.program.comm
        if not allowed:
            return people.Noted(arguments.id, f"denied: {name} is not limited{'' if arguments.always else ' for a day'}")
        self._reconsider(pending.decision.suspect.key)
        lasting = ", now and always" if arguments.always else "; this process may be for an hour"
        return people.Noted(arguments.id, f"approved: {name} is limited as soon as it hurts again{lasting}")

    def note(self, deed: str, peer: Peer, decision_id: int | None = None, *, text: str = "", until_ns: int | None = None) -> None:
        """Write a person's deed into the audit log."""
        self._log.add(
            AuditEntry(
                time_ns=self._clock.wall_ns(), deed=deed, uid=peer.uid, pid=peer.pid, decision_id=decision_id, text=text, until_ns=until_ns
            )
        )

    def strategy(self) -> people.StrategyState:
        """The strategy in force, and why."""
        return strategy_state(self._judging.strategist, self._clock.boot_ns())

    def set_strategy(self, arguments: people.StrategyArguments, peer: Peer) -> people.StrategyState:
        """Force a strategy, for a time or until told; "auto" follows the rules again."""
        if arguments.name == people.AUTO_STRATEGY:
            self.note(AUTO, peer)
            self._judging.force(None)
            self._forced(StrategyFile(), _name_of(peer))
            return self.strategy()
        length_ns = None if arguments.seconds is None else int(arguments.seconds * 1e9)
        until_ns = None if length_ns is None else self._clock.wall_ns() + length_ns
        self.note(FORCED, peer, text=arguments.name, until_ns=until_ns)
        self._judging.force(Strategy(arguments.name), None if length_ns is None else self._clock.boot_ns() + length_ns)
        self._forced(StrategyFile(forced=Strategy(arguments.name), until_ns=until_ns), _name_of(peer))
        return self.strategy()

    def follow(self, before: StrategyFile, after: StrategyFile) -> None:
        """Another version came into force: where it says otherwise which strategy is forced, so it is."""
        if (before.forced, before.until_ns) == (after.forced, after.until_ns) or self._is_in_force(after):
            return
        deed, name = (FORCED, after.forced.value) if after.forced else (AUTO, "")
        self._log.add(AuditEntry(time_ns=self._clock.wall_ns(), deed=deed, text=name, until_ns=after.until_ns))
        if after.forced:
            self._force_as_before(self._log.of((FORCED,))[-1:])
        else:
            self._judging.force(None)

    def _is_in_force(self, wanted: StrategyFile) -> bool:
        strategist = self._judging.strategist
        return wanted.forced is (strategist.strategy if strategist.is_forced else None)

    # A no for a day is one over a restart, too; a clock that was set back makes it no longer than a day.
    def _deny_as_before(self, denials: list[AuditEntry]) -> None:
        for entry in denials:
            left_ns = DENIED_NS - max(0, self._clock.wall_ns() - entry.time_ns)
            if left_ns > 0:
                self._approvals.deny(Subject(entry.exe, entry.script, entry.category), self._clock.boot_ns() + left_ns)

    # What a person forced outlives a restart, and ends when it was to end.
    def _force_as_before(self, last: list[AuditEntry]) -> None:
        for entry in last:
            left_ns = None if entry.until_ns is None else entry.until_ns - self._clock.wall_ns()
            if entry.deed == FORCED and entry.text in set(Strategy) and (left_ns is None or left_ns > 0):
                self._judging.force(Strategy(entry.text), None if left_ns is None else self._clock.boot_ns() + left_ns)

    def audit(self, limit: int) -> people.AuditLog:
        """The newest deeds."""
        return people.AuditLog(tuple(self._log.page(limit)))

    def tick(self) -> None:
        """Once per sample: let silence be a no."""
        for pending in self._approvals.expire(self._clock.boot_ns()):
            self._log.add(self._about(pending, TIMED_OUT))

    def _about(self, pending: Pending, deed: str) -> AuditEntry:
        subject = pending.subject
        return AuditEntry(
            time_ns=self._clock.wall_ns(),
            deed=deed,
            decision_id=pending.decision.id,
            exe=subject.exe,
            script=subject.script,
            category=subject.category,
            text=str(pending.decision.limit),
        )


def _name_of(peer: Peer) -> str:
    return f"uid {peer.uid}"


def strategy_state(strategist: Strategist, now_ns: int) -> people.StrategyState:
    """A strategist as the control socket tells of it."""
    until_ns = strategist.forced_until_ns
    return people.StrategyState(
        strategy=strategist.strategy.value,
        why=strategist.why,
        forced=strategist.is_forced,
        seconds_left=None if until_ns is None else max(0.0, (until_ns - now_ns) / 1e9),
        throttle_threshold=strategist.settings.throttle_threshold,
        check_interval_s=strategist.settings.check_interval_s,
    )


def _waiting(pending: Pending, now_ns: int) -> people.Waiting:
    decision = pending.decision
    verdict, program = decision.verdict, decision.suspect.program
    return people.Waiting(
        id=decision.id,
        pid=decision.suspect.key.tgid,
        exe=program.exe or program.comm,
        category=verdict.category.value,
        confidence=verdict.confidence,
        limit=str(decision.limit),
        reason=decision.reason,
        evidence=(f"{verdict.tier}: {verdict.reason}", *_evidence(decision.suspect.evidence)),
        expires_s=max(0.0, (pending.expires_ns - now_ns) / 1e9),
    )


def _evidence(evidence: Evidence) -> tuple[str, ...]:
    package = f"package {evidence.package.name} ({evidence.package.state})" if evidence.package else ""
    unowned = "no package owns the file" if evidence.unowned else ""
    unit = f"unit {evidence.unit.name}" if evidence.unit else ""
    script = f"script {evidence.script}" if evidence.script else ""
    return tuple(text for text in (package, unowned, unit, script) if text)
