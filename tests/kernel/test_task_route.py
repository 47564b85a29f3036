"""Limits on single tasks with this kernel's own scheduler: real threads, real children, real autogroups."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.act import autogroup
from brainkernel.act.cgroupfs import CgroupVersion
from brainkernel.act.choice import Plan
from brainkernel.act.host import Host
from brainkernel.act.ledger import Entry, Record
from brainkernel.act.place import Place
from brainkernel.act.procfs import family_of, lock_process, read_member, read_members, read_threads
from brainkernel.act.routes.protocol import Fate, Patience, Wanted
from brainkernel.act.routes.task import TaskRoute
from brainkernel.act.scheduling import SCHED_IDLE, KernelScheduler, Scheduling, scheduling_of
from brainkernel.model import Action, Limit, ReleaseResult, Route
from support.kernel import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
IDLE = Limit(cpu_weight=0)
# A parent with a second thread that starts another child for each line it reads, and says the child's pid.
PROGRAM = """
import subprocess, sys, threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
for _ in sys.stdin:
    print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the way back from SCHED_IDLE needs CAP_SYS_NICE: run as root")


class Job:
    """A program in a session of its own, in a cgroup of files that lists its processes."""

    def __init__(self, process: subprocess.Popen[str], root: Path) -> None:
        self.process = process
        self.pids = [process.pid]
        self.root = root
        self.host = Host(cgroup=root)
        self.route = TaskRoute(self.host, Patience())
        self.start_child()

    def start_child(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.pids.append(int(self.process.stdout.readline()))
        (self.root / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in self.pids))
        return self.pids[-1]

    def scheduled(self) -> set[Scheduling | None]:
        return {KernelScheduler().read(tid) for pid in self.pids for tid, _ in read_threads(PROC, pid)}

    def apply(self, limit: Limit = IDLE) -> Entry:
        target = read_member(PROC, self.process.pid)
        assert target is not None
        members = read_members(PROC, self.pids)
        plan = Plan(route=Route.TASK, reason="a test", move=family_of(target.key, members))
        place = Place(
            target=target, version=CgroupVersion.V2, cgroup="/", cgroup_id=self.root.stat().st_ino, members=members, limit_files={}
        )
        wanted = Wanted(decision_id=1, limit=limit, lease_ns=0, now_ns=target.key.start_ns, place=place, plan=plan)
        action = self.route.plan(wanted)
        assert isinstance(action, Action), action
        with lock_process(self.host, target.key) as lock:
            assert lock is not None
            found = self.route.apply(action, lock, wanted)
        assert isinstance(found, Action), found
        return Entry([Record(kind="applied", boot_id="", action_id=1, action=found)])


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with a_job(tmp_path) as job:
        yield job


@contextmanager
def a_job(root: Path) -> Iterator[Job]:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        job = Job(process, root)
        try:
            yield job
        finally:
            for pid in reversed(job.pids):
                os.kill(pid, 9)


@pytest.mark.parametrize("limit", [IDLE, Limit(cpu_weight=20)], ids=str)
def test_every_thread_and_child_is_limited_and_comes_back(job: Job, limit: Limit) -> None:
    """What the kernel says of each of them before and after is the same."""
    before = job.scheduled()

    entry = job.apply(limit)

    assert job.scheduled() == {scheduling_of(limit)}
    assert job.route.read_back(entry) is Fate.STANDS
    assert job.route.undo(entry, last=False) == (ReleaseResult.RESTORED, True)
    assert job.scheduled() == before == {Scheduling()}


def test_a_child_born_under_the_limit_comes_back_too(job: Job) -> None:
    """The kernel gives it its parent's values; the ledger does not know it."""
    entry = job.apply()
    child = job.start_child()
    wait_until("the child as its own program", lambda: (PROC / str(child) / "comm").read_text() == "sleep\n")
    assert os.sched_getscheduler(child) == SCHED_IDLE

    job.route.undo(entry, last=False)

    assert job.scheduled() == {Scheduling()}


def test_the_session_is_made_nice_and_ordinary_again(job: Job) -> None:
    """The whole autogroup, since nobody else lives in it."""
    if not autogroup.are_in_use(PROC):
        pytest.skip("autogroups are not in use here: sysctl kernel.sched_autogroup_enabled=1")
    entry = job.apply()
    group = autogroup.read_autogroup(PROC, job.process.pid)
    assert group is not None
    assert group.nice == 19

    job.route.undo(entry, last=False)

    assert autogroup.read_autogroup(PROC, job.process.pid) == (group.name, 0)


def test_what_a_person_changed_stays(job: Job) -> None:
    """`renice` while the limit stands."""
    entry = job.apply(Limit(cpu_weight=20))
    os.setpriority(os.PRIO_PROCESS, job.process.pid, 12)

    assert job.route.read_back(entry) is Fate.CHANGED
    assert job.route.undo(entry, last=False).result is ReleaseResult.FOREIGN
    assert os.getpriority(os.PRIO_PROCESS, job.process.pid) == 12
