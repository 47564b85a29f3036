"""Any interleaving of limits on single tasks with forks, ends, people and crashes leaves what was there, or somebody else's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from brainkernel.act.routes.protocol import OLD_STEP_STANDS
from brainkernel.act.scheduling import Scheduling
from brainkernel.model import Limit, Refusal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from support.interleavings import Interrupted

if TYPE_CHECKING:
    import pytest
    from brainkernel.model import ProcessKey

CRON = "/system.slice/cron.service"
LIMITS = [Limit(cpu_weight=50), Limit(cpu_weight=20), Limit(cpu_weight=0), Limit(cpu_quota_pct=20)]
PLAIN, THEIRS = Scheduling(), Scheduling(0, 15, 0)  # a nice value that we never write
OURS = {str(value) for value in (Scheduling(0, 3, 16391), Scheduling(0, 7, 16391), Scheduling(5, 13, 24583))}


class Jobs(Interrupted):
    """Two jobs of cron, what they start, and everything that happens to them."""

    def __init__(self) -> None:
        super().__init__()
        self.stage.systemd.add("cron.service")
        self.next_pid = 900
        self.keys: dict[int, ProcessKey] = {}
        self.renamed: set[int] = set()  # threads that a person gave values of their own

    @initialize()
    def two_jobs(self) -> None:
        self.stage.fake.spawn(800, CRON, exe="/usr/sbin/cron", session=800)
        for pid in (810, 820):
            self.keys[pid] = self.stage.fake.spawn(pid, CRON, exe=f"/usr/bin/job{pid}", ppid=800, session=pid)

    @property
    def alive(self) -> list[int]:
        return [pid for pid in self.keys if pid in self.stage.fake.cgroup_of]

    @precondition(lambda self: self.alive)
    @rule(limit=st.sampled_from(LIMITS), data=st.data())
    def apply(self, limit: Limit, data: st.DataObject) -> None:
        self.stage.apply(limit, self.keys[data.draw(st.sampled_from(self.alive))], self.next_id)
        self.next_id += 1

    @precondition(lambda self: self.stage.ledger.live)
    @rule(limit=st.sampled_from([*LIMITS, None]), data=st.data())
    def step_or_follow(self, limit: Limit | None, data: st.DataObject) -> None:
        action_id = data.draw(st.sampled_from(sorted(self.stage.ledger.live)))
        found = self.stage.enforcer.step(action_id, limit or self.stage.ledger.live[action_id].action.limit)
        if isinstance(found, Refusal) and found.rule not in OLD_STEP_STANDS:
            self.stage.release(action_id)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        parent = data.draw(st.sampled_from(self.alive))
        self.next_pid += 1
        self.keys[self.next_pid] = self.stage.fake.spawn(self.next_pid, CRON, exe="/usr/bin/child", ppid=parent, session=810)
        if self.stage.fake.scheduler.values[self.next_pid] == THEIRS:
            self.renamed.add(self.next_pid)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        pid = data.draw(st.sampled_from(self.alive))
        for child in self.alive:
            if self.parent_of(child) == pid:
                self.stage.fake.reparent(child, 1)
        self.stage.fake.end(pid)
        self.renamed.discard(pid)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def a_person_renices(self, data: st.DataObject) -> None:
        pid = data.draw(st.sampled_from(self.alive))
        self.stage.fake.scheduler.values[pid] = THEIRS
        self.renamed.add(pid)

    @invariant()
    def what_stands_is_in_the_ledger(self) -> None:
        """Where nothing stands, nobody has a value of ours."""
        if not self.stage.ledger.live:
            self.assert_nothing_of_ours()

    @invariant()
    def a_persons_value_stays(self) -> None:
        """Nobody writes over it, neither a step nor a release."""
        for pid in self.renamed:
            assert self.stage.fake.scheduler.values[pid] == THEIRS, pid

    def parent_of(self, pid: int) -> int:
        stat = (self.stage.fake.host.proc / str(pid) / "stat").read_text()
        return int(stat.rpartition(")")[2].split()[1])

    def assert_nothing_of_ours(self) -> None:
        left = {tid: now for tid, now in self.stage.fake.scheduler.values.items() if str(now) in OURS}
        assert left == {}
        groups = {(self.stage.fake.host.proc / str(pid) / "autogroup").read_text() for pid in self.alive}  # one without members is gone
        assert all(group.endswith(" nice 0\n") for group in groups), groups

    def teardown(self) -> None:
        self.recover()
        assert self.stage.ledger.live == {}
        self.assert_nothing_of_ours()
        self.a_persons_value_stays()
        super().teardown()


def test_any_interleaving_on_single_tasks_ends_with_the_original_values_or_foreign_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis looks for a sequence after which a thread keeps a value of ours, or a person loses theirs."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    run_state_machine_as_test(
        Jobs, settings=settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    )
