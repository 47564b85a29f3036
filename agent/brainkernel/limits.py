"""The limits that stand: what became of each, who waits for its end, and what it taught."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from brainkernel import metrics
from brainkernel.act.limiter import Applied, NotApplied, Released
from brainkernel.act.routes.protocol import OLD_STEP_STANDS
from brainkernel.learn.experience import lesson_of
from brainkernel.link import control
from brainkernel.model import ReleaseResult, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.act.limiter import Limiter
    from brainkernel.clock import Clock
    from brainkernel.judging import Judging
    from brainkernel.learn.experience import Experience
    from brainkernel.metrics import Figures
    from brainkernel.model import Action, Decision, Lesson, Outcome
    from brainkernel.report import Report
    from brainkernel.sense.loader import Loader
    from brainkernel.store import Store
    from brainkernel.watch import Watch

SEEN_MAX = 1_000  # a daemon may limit ten a minute for years, and only a run in the foreground has a summary


@dataclass(slots=True)
class _Wish:
    # Somebody waits for the end of these limits.
    waiting: set[int]
    done: Callable[[control.Releases], None]
    ended: list[control.Released] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Limits:
    """Carries the results of `act` to those they concern, and a person's wish to end a limit to `act`."""

    limiter: Limiter
    watch: Watch
    enforces: Callable[[], bool]  # whether limits may be written now
    loader: Loader
    store: Store
    experience: Experience
    judging: Judging
    figures: Figures
    report: Report
    clock: Clock
    _wishes: list[_Wish] = field(default_factory=list)
    _seen: dict[int, control.Limited] = field(default_factory=dict)

    def seen(self) -> tuple[control.Limited, ...]:
        """The limits of this run, for its summary: all that stand, and the latest of those that ended."""
        return tuple(self._seen.values())

    def undo(self, decision_id: int, done: Callable[[control.Releases], None]) -> None:
        """Take one limit back because a person says so, and learn from it."""
        record = self.store.decisions.get(decision_id)
        if record is not None:
            self.learn(lesson_of(record.decision, undone_by_person=True))
            self.judging.undone(record.decision)
        self._wishes.append(_Wish({decision_id}, done))
        self.limiter.release(decision_id, "a person undid it")

    def release_all(self, done: Callable[[control.Releases], None]) -> None:
        """Take all limits back because a person says so."""
        standing = {action.id for action in self.watch.actions}
        if not standing:
            done(control.Releases(()))
            return
        self._wishes.append(_Wish(standing, done))
        for action_id in standing:
            self.limiter.release(action_id, "a person released all")

    def release_standing(self, why: str) -> None:
        """Take all limits back because nothing may act any more."""
        for action in self.watch.actions:
            self.limiter.release(action.id, why)

    def learn(self, lesson: Lesson) -> None:
        """Take a lesson, and keep it for the next start."""
        wall_ns = self.clock.wall_ns()
        self.experience.learn(lesson, wall_ns)
        self.store.lessons.save(lesson, wall_ns)

    def measured(self, decision: Decision, outcome: Outcome) -> None:
        """Report what a limit achieved."""
        self.report.outcome(decision, outcome)
        if (limited := self._seen.get(decision.id)) is not None:
            self._seen[decision.id] = msgspec.structs.replace(limited, effect=outcome.text)

    def take_results(self) -> None:
        """Hear from `act` what was written, refused and taken back."""
        for result in self.limiter.results():
            match result:
                case Applied():
                    self._on_applied(result.action)
                case NotApplied():
                    self._on_not_applied(result)
                case Released():
                    self._on_released(result)
        self.figures.set(metrics.LIMITS_ACTIVE, len(self.watch.actions))

    def _on_applied(self, action: Action) -> None:
        decision = self.watch.applied(action)
        if decision is None:
            return
        if action.id not in self._seen:  # not a further step of the ladder
            act = Span(stage="act", ns=max(0, self.clock.boot_ns() - decision.decided_ns))
            self.figures.observe(metrics.STAGE_SECONDS, act.ns / 1e9, act.stage)
            decision = replace(decision, spans=(*decision.spans, act))
            self.store.decisions.save(decision)
        self.figures.add(metrics.LIMITS_APPLIED, action.route.value)
        self._seen[action.id] = control.Limited(id=action.id, comm=action.comm, limit=str(action.limit))
        if action.owns_cgroup:
            self.loader.follow_cgroup(action.cgroup_id)
        self.report.action(decision, action)
        if not self.enforces():  # paused while it was on its way
            self.limiter.release(action.id, "the agent was paused")

    def _on_not_applied(self, result: NotApplied) -> None:
        decision = self.watch.refused(result.decision_id, old_step_stands=result.refusal.rule in OLD_STEP_STANDS)
        self.figures.add(metrics.REFUSALS, result.refusal.rule)
        if decision is not None:
            self.report.not_applied(decision, result.refusal)

    def _on_released(self, result: Released) -> None:
        action = result.action
        if result.result is not ReleaseResult.FAILED:
            self.watch.released(action)
            if action.owns_cgroup and action.cgroup_id not in {standing.cgroup_id for standing in self.watch.actions}:
                self.loader.unfollow_cgroup(action.cgroup_id)
        elif action.owns_cgroup:  # left by an earlier run, and it slows its cgroup down still
            self.loader.follow_cgroup(action.cgroup_id)
        self.figures.add(metrics.LIMITS_RELEASED, result.result.value)
        self.report.released(action, result.result, result.why)
        if (limited := self._seen.get(action.id)) is not None:
            self._seen[action.id] = msgspec.structs.replace(limited, result=result.result.value)
            if len(self._seen) > SEEN_MAX:
                del self._seen[next(number for number, one in self._seen.items() if one.result)]
        self._grant(action, result)

    def _grant(self, action: Action, result: Released) -> None:
        for wish in list(self._wishes):
            if action.id in wish.waiting:
                wish.waiting.discard(action.id)
                wish.ended.append(control.Released(action.id, action.comm, result.result, result.why))
            if not wish.waiting:
                self._wishes.remove(wish)
                wish.done(control.Releases(tuple(wish.ended)))
