"""Which cgroups have their run-queue waits counted apart: those that a limit of ours slows down, however old it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from brainkernel.act.limiter import Applied, Released
from brainkernel.clock import SimulatedClock
from brainkernel.limits import Limits
from brainkernel.metrics import Figures
from brainkernel.model import Action, Decision, DecisionKind, Limit, ProcessKey, ReleaseResult, Route
from support.nouns import SECOND_NS, a_suspect, a_verdict

if TYPE_CHECKING:
    import pytest
    from brainkernel.act.limiter import Result

WAITS_FOR_ITS_QUOTA = Action(
    id=1, target=ProcessKey(100, SECOND_NS), comm="hog", route=Route.UNIT, unit="hog.service", cgroup="/system.slice/hog.service",
    cgroup_id=7, limit=Limit(cpu_weight=20), changes=(),
)  # fmt: skip


A_DECISION = Decision(
    id=1, time_ns=0, suspect=a_suspect(), verdict=a_verdict(), kind=DecisionKind.LIMIT, reason="hurts", limit=Limit(cpu_weight=20), acts=True,
)  # fmt: skip


@dataclass
class Surroundings:
    """The limiter, the watch, the loader and the report in one; what they are not asked for here they do not have."""

    coming: list[Result] = field(default_factory=list)
    followed: set[int] = field(default_factory=set)
    actions: list[Action] = field(default_factory=list)

    def results(self) -> list[Result]:
        given, self.coming = self.coming, []
        return given

    freed: list[int] = field(default_factory=list)
    decisions: Surroundings | None = None
    decided: set[int] = field(default_factory=set)

    def applied(self, action: Action) -> Decision | None:
        self.decided.add(action.id)
        return replace(A_DECISION, id=action.id)

    def save(self, decision: Decision) -> None:
        assert decision.id in self.decided

    def action(self, decision: Decision, action: Action) -> None:
        assert decision.id == action.id

    def release(self, action_id: int, why: str) -> None:
        assert "paused" in why
        self.freed.append(action_id)

    def follow_cgroup(self, cgroup_id: int) -> bool:
        self.followed.add(cgroup_id)
        return True

    def unfollow_cgroup(self, cgroup_id: int) -> None:
        self.followed.discard(cgroup_id)

    def released(self, action: Action, result: ReleaseResult | None = None, why: str = "") -> None:
        assert result is None or why, action


def limits_of(around: Surroundings, *, enforces: bool = True) -> Limits:
    around.decisions = around
    part = cast("Any", around)
    return Limits(
        limiter=part, watch=part, enforces=lambda: enforces, loader=part, store=part, experience=part, judging=part,
        figures=Figures(), report=part, clock=SimulatedClock(SECOND_NS),
    )  # fmt: skip


def test_limit_that_an_earlier_run_left_is_followed_until_it_is_gone() -> None:
    """A restart undoes what is left; as long as that fails its quota makes the cgroup wait, which harms nobody."""
    around = Surroundings()
    limits = limits_of(around)

    around.coming = [Released(WAITS_FOR_ITS_QUOTA, ReleaseResult.FAILED, "systemd does not answer")]
    limits.take_results()
    meanwhile = set(around.followed)
    around.coming = [Released(WAITS_FOR_ITS_QUOTA, ReleaseResult.RESTORED, "left by an earlier run")]
    limits.take_results()

    assert meanwhile == {7}
    assert around.followed == set()


def test_cgroup_that_others_share_is_not_followed() -> None:
    """Their waits are the host's."""
    around = Surroundings()
    shared = replace(WAITS_FOR_ITS_QUOTA, route=Route.TASK)

    around.coming = [Released(shared, ReleaseResult.FAILED, "systemd does not answer")]
    limits_of(around).take_results()

    assert around.followed == set()


def test_limits_of_a_summary_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A year of limits fills no memory: what stands is kept, and the latest of what ended."""
    monkeypatch.setattr("brainkernel.limits.SEEN_MAX", 3)
    around = Surroundings()
    limits = limits_of(around)

    for number in range(1, 9):
        action = replace(WAITS_FOR_ITS_QUOTA, id=number)
        around.coming = [Applied(action)]
        if number > 1:
            around.coming.append(Released(action, ReleaseResult.RESTORED, "its lease ended"))
        limits.take_results()

    assert [(one.id, one.result) for one in limits.seen()] == [(1, ""), (7, "restored"), (8, "restored")]


def test_limit_that_was_on_its_way_when_the_agent_was_paused_is_taken_back() -> None:
    """A pause means at once: what systemd was asked for a moment before does not stand for a lease."""
    around = Surroundings(coming=[Applied(WAITS_FOR_ITS_QUOTA)])

    limits_of(around, enforces=False).take_results()

    assert around.freed == [1]


def test_limit_stands_while_nobody_paused() -> None:
    """The other side of it."""
    around = Surroundings(coming=[Applied(WAITS_FOR_ITS_QUOTA)])

    limits_of(around).take_results()

    assert around.freed == []
    assert around.followed == {7}
