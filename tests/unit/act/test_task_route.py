"""Limits on single tasks: every thread and child gets them, and everybody gets back what they had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.act.routes.protocol import Fate
from brainkernel.act.scheduling import IDLE_NICE, IO_IDLE, IO_LOWEST, SCHED_IDLE, Scheduling
from brainkernel.model import Action, Limit, Refusal, ReleaseResult, Route
from support.act_stage import QUOTA, WEIGHT, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CRON = "/system.slice/cron.service"
IDLE = Scheduling(SCHED_IDLE, IDLE_NICE, IO_IDLE)
NICE = Scheduling(0, 7, IO_LOWEST)  # weight 20 of 100 is nearest to nice 7: 215 of 1024
PLAIN = Scheduling()


class Cron:
    """cron.service with a job: a shell that waits, a hog with a thread and a child; and another job."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.systemd.add("cron.service")
        stage.fake.spawn(800, CRON, exe="/usr/sbin/cron", session=800)
        stage.fake.spawn(801, CRON, exe="/usr/bin/dash", ppid=800, session=801, argv="/bin/sh\0-c\0hog\0")
        self.hog = stage.fake.spawn(810, CRON, exe="/usr/bin/miner", ppid=801, session=801)
        stage.fake.add_thread(810, 811)
        self.child = stage.fake.spawn(820, CRON, exe="/usr/bin/miner-child", ppid=810, session=801)
        self.other = stage.fake.spawn(830, CRON, exe="/usr/bin/backup", ppid=800, session=830)

    def apply(self, limit: Limit = QUOTA) -> Action:
        action = self.stage.apply(limit, key=self.hog)
        assert isinstance(action, Action), action
        return action

    @property
    def values(self) -> dict[int, Scheduling]:
        return self.stage.fake.scheduler.values

    def fate(self) -> Fate:
        return self.stage.enforcer.undo.fate_of(self.stage.ledger.live[1])


@pytest.fixture
def cron(tmp_path: Path) -> Iterator[Cron]:
    with Stage(tmp_path) as stage:
        yield Cron(stage)


@pytest.mark.parametrize(("limit", "expected"), [(QUOTA, IDLE), (Limit(cpu_weight=0), IDLE), (WEIGHT, NICE)], ids=str)
def test_all_threads_and_children_are_limited_and_nobody_else(cron: Cron, limit: Limit, expected: Scheduling) -> None:
    """A job of cron is slowed; cron itself, the shell that waits and the other job are not."""
    before = dict(cron.values)

    action = cron.apply(limit)

    assert action.route is Route.TASK
    assert {tid for tid, now in cron.values.items() if now == expected} == {810, 811, 820}
    assert {tid: now for tid, now in cron.values.items() if tid not in (810, 811, 820)} == {
        tid: now for tid, now in before.items() if tid not in (810, 811, 820)
    }
    assert cron.stage.release() is ReleaseResult.RESTORED
    assert cron.values == before


def test_the_session_of_a_job_is_made_nice_as_a_whole(cron: Cron) -> None:
    """Nice counts inside of an autogroup only: that of the job is lowered, that of others is not."""
    cron.apply(WEIGHT)

    assert cron.stage.fake.scheduler.autogroups == {800: 0, 801: 7, 830: 0, 1: 0}
    cron.stage.release()
    assert set(cron.stage.fake.scheduler.autogroups.values()) == {0}


def test_a_session_that_a_person_made_nice_is_theirs(cron: Cron, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen by those who are limited: the look of each second does not go through all processes of the host."""
    cron.apply(WEIGHT)
    monkeypatch.delattr("brainkernel.act.autogroup.members_of")
    assert cron.fate() is Fate.STANDS

    cron.stage.fake.scheduler.write_autogroup(cron.stage.fake.host.proc / "810/autogroup", 3)
    assert cron.fate() is Fate.CHANGED

    monkeypatch.undo()
    assert cron.stage.release() is ReleaseResult.FOREIGN
    assert cron.stage.fake.scheduler.autogroups[801] == 3


def test_a_session_that_others_live_in_is_left_as_it_is(cron: Cron) -> None:
    """A sibling outside of the family would be slowed with it."""
    cron.stage.fake.spawn(840, CRON, exe="/usr/bin/rsync", ppid=800, session=801)

    cron.apply()

    assert cron.stage.fake.scheduler.autogroups[801] == 0


def test_a_quota_says_that_it_is_idle_instead(cron: Cron) -> None:
    """The kernel has no quota for single tasks; what was done is what is told."""
    action = cron.apply(QUOTA)

    assert action.limit == Limit(cpu_weight=0)
    assert "idle instead" in action.notes[0]


def test_threads_with_settings_of_their_own_keep_them(cron: Cron) -> None:
    """A program that arranged its own threads knows why."""
    cron.values[811] = Scheduling(0, -5, 0)

    cron.apply()

    assert cron.values[811] == Scheduling(0, -5, 0)
    assert cron.values[810] == IDLE


def test_a_child_born_under_the_limit_is_freed_with_it(cron: Cron) -> None:
    """It inherits our values, and is not in the ledger; neither is an orphan whose parent ended."""
    cron.apply()
    cron.stage.fake.spawn(821, CRON, exe="/usr/bin/miner-child", ppid=810, session=801)
    cron.stage.fake.add_thread(810, 812)
    cron.stage.fake.spawn(822, CRON, exe="/usr/bin/orphan", ppid=821, session=801)
    cron.stage.fake.end(821)
    cron.stage.fake.reparent(822, 1)
    assert cron.values[822] == IDLE

    assert cron.stage.release() is ReleaseResult.RESTORED

    assert {tid for tid, now in cron.values.items() if now != PLAIN} == set()


def test_a_child_that_slipped_through_is_seen_and_limited(cron: Cron) -> None:
    """Forked between the look and the write: it runs free until the next look."""
    cron.apply()
    cron.stage.fake.spawn(821, CRON, exe="/usr/bin/miner-child", ppid=810, session=801)
    cron.values[821] = PLAIN
    assert cron.fate() is Fate.GREW

    action = cron.stage.step(Limit(cpu_weight=0))

    assert isinstance(action, Action)
    assert cron.values[821] == IDLE
    assert cron.fate() is Fate.STANDS


def test_a_step_replaces_the_values_and_release_restores_the_first(cron: Cron) -> None:
    """From nice to idle, and back to what was there before both."""
    cron.apply(WEIGHT)

    action = cron.stage.step(Limit(cpu_weight=0))

    assert isinstance(action, Action)
    assert cron.values[820] == IDLE
    assert cron.stage.release() is ReleaseResult.RESTORED
    assert set(cron.values.values()) == {PLAIN}


@pytest.mark.parametrize("followed", [True, False])
def test_a_child_born_amid_a_step_is_not_forgotten(cron: Cron, monkeypatch: pytest.MonkeyPatch, *, followed: bool) -> None:
    """Its parent had the values of the step before still: it is seen, and freed, whether it was taken in before or not."""
    cron.apply(WEIGHT)
    write = cron.stage.fake.scheduler.write

    def forks_before_its_turn(tid: int, wanted: Scheduling) -> bool:
        if tid == 820 and 821 not in cron.values:
            cron.stage.fake.spawn(821, CRON, exe="/usr/bin/miner-child", ppid=820, session=801)
        return write(tid, wanted)

    monkeypatch.setattr(cron.stage.fake.scheduler, "write", forks_before_its_turn)
    cron.stage.step(Limit(cpu_weight=0))

    assert cron.values[821] == NICE
    assert cron.fate() is Fate.GREW
    if followed:
        cron.stage.step(Limit(cpu_weight=0))
        assert cron.values[821] == IDLE
    assert cron.stage.release() is ReleaseResult.RESTORED
    assert set(cron.values.values()) == {PLAIN}


def test_a_step_beyond_idle_leaves_it_standing(cron: Cron) -> None:
    """There is nothing stronger for single tasks: the refusal is one after which the old step stands."""
    cron.apply(Limit(cpu_weight=0))

    refusal = cron.stage.step(QUOTA)

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "no_effect"
    assert cron.values[810] == IDLE


def test_a_program_that_grew_too_large_is_followed_no_further(cron: Cron, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread is a line of the ledger for a step as for the first limit: the same bound holds."""
    monkeypatch.setattr("brainkernel.act.routes.task.MAX_THREADS", 3)
    cron.apply(WEIGHT)
    cron.stage.fake.add_thread(810, 812)

    refusal = cron.stage.step(Limit(cpu_weight=0))

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "too_many"
    assert cron.stage.release() is ReleaseResult.RESTORED
    assert set(cron.values.values()) == {PLAIN}


def test_what_a_person_changed_is_theirs(cron: Cron) -> None:
    """`renice` and `chrt` go before ours; the other threads are released."""
    cron.apply()
    cron.values[810] = Scheduling(0, 15, 0)
    assert cron.fate() is Fate.CHANGED

    assert cron.stage.release() is ReleaseResult.FOREIGN

    assert cron.values[810] == Scheduling(0, 15, 0)
    assert (cron.values[811], cron.values[820]) == (PLAIN, PLAIN)


def test_a_person_who_makes_it_ordinary_again_is_understood(cron: Cron) -> None:
    """Taken back by hand: the limit ends, and is not set again by us."""
    cron.apply()
    cron.values[810] = PLAIN

    assert cron.fate() is Fate.CHANGED
    assert cron.stage.release() is ReleaseResult.RESTORED


def test_a_used_again_thread_number_is_not_touched(cron: Cron) -> None:
    """The number is the same, the start time is not."""
    cron.apply()
    cron.stage.fake.end(820)
    cron.stage.fake.spawn(820, CRON, exe="/usr/bin/innocent", ppid=800, session=830)
    cron.values[820] = Scheduling(0, 3, 0)

    cron.stage.release()

    assert cron.values[820] == Scheduling(0, 3, 0)


def test_a_family_that_ended_is_gone(cron: Cron) -> None:
    """Nothing is left to restore."""
    cron.apply()
    for pid in (820, 810, 801):
        cron.stage.fake.end(pid)

    assert cron.stage.release() is ReleaseResult.GONE


def test_a_program_that_is_limited_is_not_limited_twice(cron: Cron) -> None:
    """Two decisions about two processes of one family must not undo each other; another job of cron is its own matter."""
    cron.apply()

    again = cron.stage.apply(QUOTA, key=cron.child, decision_id=2)
    other = cron.stage.apply(QUOTA, key=cron.other, decision_id=3)

    assert isinstance(again, Refusal)
    assert again.rule == "already_limited"
    assert isinstance(other, Action)


def test_a_weight_above_the_usual_is_no_limit(cron: Cron) -> None:
    """What single tasks cannot have is not pretended."""
    refusal = cron.stage.apply(Limit(cpu_weight=200), key=cron.hog)

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "no_effect"
