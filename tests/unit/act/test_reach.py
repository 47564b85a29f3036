"""Whether a weight can help those who wait: a table of who lives where, and which step a limit begins at then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.reach import first_that_counts, weight_counts
from brainkernel.model import Action, Limit, ProcessKey, Refusal, Route, Victim
from support.act_stage import Stage, a_decision
from support.nouns import a_symptom

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEIGHT, IDLE, BOTH = Limit(cpu_weight=20), Limit(cpu_weight=0), Limit(cpu_weight=0, cpu_quota_pct=20)
LADDER = (WEIGHT, IDLE, BOTH)
SESSION = "/user.slice/user-1000.slice/session-3.scope"
APP = "/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.scope"
DATABASE = "/system.slice/db.service"
POOL = "/system.slice/system-batch.slice/batch@1.service"


@pytest.mark.parametrize(
    ("route", "cgroup", "others", "weighed", "counts"),
    [
        (Route.UNIT, "/system.slice/hog.service", (DATABASE,), {"/system.slice"}, True),  # siblings
        (Route.UNIT, "/system.slice/hog.service", (POOL,), {"/system.slice"}, True),  # the sibling's own, deeper
        (Route.UNIT, POOL, (DATABASE,), {"/system.slice", "/system.slice/system-batch.slice"}, False),  # its slice competes, not it
        (Route.UNIT, POOL, (DATABASE,), {"/system.slice"}, True),  # nothing is weighed where they part: the weight changes that
        (Route.SCOPE, SESSION, (DATABASE,), {"/user.slice"}, False),
        (Route.SCOPE, SESSION, (DATABASE,), set(), True),
        (Route.SCOPE, SESSION, (APP,), {"/user.slice"}, True),  # the same user's
        (Route.SCOPE, SESSION, (DATABASE, APP), {"/user.slice"}, True),  # one of them is reached
        (Route.SCOPE, SESSION, (), {"/user.slice"}, True),  # all who waited have ended
        (Route.UNIT, APP, (SESSION,), {"/user.slice/user-1000.slice/user@1000.service"}, False),
        (Route.UNIT, "/hog.service", (DATABASE,), {"/system.slice"}, True),  # at the top
        (Route.UNIT, "/system.slice/hog.service", ("/system.slice-2/x.service",), {"/system.slice"}, False),  # a name is no path
        (Route.TASK, SESSION, (DATABASE,), {"/user.slice"}, True),
        (Route.SUBTREE, "/openrc.batch", (DATABASE,), {"/openrc.batch"}, True),
    ],
)
def test_a_weight_counts_among_the_children_of_one_cgroup(
    route: Route, cgroup: str, others: tuple[str, ...], weighed: set[str], *, counts: bool
) -> None:
    """And where the ways part and nothing is weighed yet, since the first weight switches that on for both sides."""
    assert weight_counts(route, cgroup, others, lambda path: path in weighed) is counts


@pytest.mark.parametrize(
    ("ladder", "step", "counts", "first"),
    [(LADDER, 0, True, 0), (LADDER, 1, True, 1), (LADDER, 0, False, 2), (LADDER, 1, False, 2), ((WEIGHT,), 0, False, None)],
)
def test_a_step_that_reaches_nobody_is_passed_over(ladder: tuple[Limit, ...], step: int, first: int | None, *, counts: bool) -> None:
    """A quota holds wherever they live; where there is none, no step remains."""
    assert first_that_counts(ladder, step, weight_counts=counts) == first


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def hurting(stage: Stage, hog: ProcessKey, ladder: tuple[Limit, ...]) -> Action | Refusal:
    """A decision about a hog that keeps a database waiting, in a service beside the user's slice."""
    stage.systemd.add("db.service")
    victim = Victim(key=stage.fake.spawn(700, "/system.slice/db.service", exe="/usr/sbin/mysqld"), comm="mysqld", wait_pct=20)
    return stage.enforcer.apply(replace(a_decision(hog, ladder[0]), ladder=ladder, symptom=a_symptom(victims=(victim,))))


def test_a_limit_begins_where_it_reaches_those_who_wait(stage: Stage) -> None:
    """Out of a login session against a service: neither weight nor idle would count, so that the quota comes first, as step 2."""
    hog = stage.login()
    (stage.fake.dir_of("/user-1000.slice") / "cpu.weight").write_text("100\n")

    action = hurting(stage, hog, LADDER)

    assert isinstance(action, Action)
    assert (action.route, action.step, action.limit) == (Route.SCOPE, 2, BOTH)
    assert action.lowest == 2  # nor does it go back to these in peace


def test_a_weight_that_reaches_nobody_is_not_set(stage: Stage) -> None:
    """A policy of weights alone: nothing is written, and the person reads why."""
    hog = stage.login()
    (stage.fake.dir_of("/user-1000.slice") / "cpu.weight").write_text("100\n")

    refusal = hurting(stage, hog, (WEIGHT,))

    assert refusal == Refusal(rule="no_effect", reason="a weight counts within /user-1000.slice only, and who waits lives elsewhere")
    assert stage.ledger.live == {}


def test_a_limit_beside_its_victim_begins_where_the_decision_says(stage: Stage) -> None:
    """Two services of one slice."""
    action = hurting(stage, stage.hog, LADDER)

    assert isinstance(action, Action)
    assert (action.step, action.lowest, action.limit) == (0, 0, WEIGHT)
