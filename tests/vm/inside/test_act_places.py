"""One miner-like program, wherever it may be started: each place has its route, and the way back from it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from brainkernel.act.host import Host
from brainkernel.model import Limit, ReleaseResult, Route

from vm.inside.act import QUOTA, acting
from vm.inside.cgroups import ROOT, cgroup_values, changes
from vm.inside.jobs import CRON, SCHED_IDLE, a_cron_job, a_nohup_job, hogs_in, policy_of
from vm.inside.processes import PROC, cgroup_of, cpu_pct_of, exe_of, is_running, stat_of
from vm.inside.sessions import USER
from vm.inside.units import HOG, VICTIM, a_unit, a_victim, pids_in
from vm.inside.waiting import output_of, wait_until

IDLE = Limit(cpu_weight=0)


def test_a_job_of_cron_is_slowed_task_by_task_and_cron_is_not() -> None:
    """Nothing is moved out of cron.service; beside somebody who wants every CPU the job has next to nothing."""
    with a_cron_job() as hog, a_victim():
        (cron,) = (pid for pid in pids_in(CRON) if exe_of(pid) == "/usr/sbin/cron" and stat_of(pid)[1] == "1")
        before, where = cgroup_values(), cgroup_of(hog)
        free_pct = cpu_pct_of(hog, 3)
        with acting() as act:
            action = act.applied(hog, QUOTA)

            assert (action.route, action.unit, action.limit) == (Route.TASK, "cron.service", IDLE)
            assert (policy_of(hog), policy_of(cron)) == (SCHED_IDLE, 0)
            assert cgroup_of(hog) == where
            assert cpu_pct_of(hog, 4) < free_pct / 3
            assert act.release() is ReleaseResult.RESTORED
        assert changes(before, cgroup_values()) == {}
        assert is_running(hog)


def test_a_job_of_nohup_has_its_sessions_scope_for_itself() -> None:
    """Whoever logged in is gone: the scope is a unit like any other, and nothing is moved."""
    with a_nohup_job() as hog:
        before = cgroup_values()
        with acting() as act:
            action = act.applied(hog)

            assert action.route is Route.UNIT
            assert action.unit.startswith("session-")
            assert cpu_pct_of(hog, 3) == pytest.approx(20, rel=0.25)
            assert act.release() is ReleaseResult.RESTORED
        assert changes(before, cgroup_values()) == {}


def test_a_program_among_others_of_one_service_is_slowed_alone() -> None:
    """A hog beside other programs of one service: neither they nor their sandbox are touched."""
    script = f"{HOG} >/dev/null & exec {VICTIM} >/dev/null"
    output_of("systemd-run", "--quiet", "--collect", "--unit=act-shared.service", "/bin/sh", "-c", script)
    try:
        cgroup = ROOT / "system.slice/act-shared.service"
        (hog,) = hogs_in(cgroup)
        (other,) = wait_until(lambda: [p for p in pids_in(cgroup) if exe_of(p) == str(VICTIM)], "the other program")
        before = cgroup_values()
        with acting() as act:
            action = act.applied(hog)

            assert action.route is Route.TASK
            assert (policy_of(hog), policy_of(other)) == (SCHED_IDLE, 0)
        assert changes(before, cgroup_values()) == {}
    finally:
        output_of("systemctl", "stop", "act-shared.service")


def test_a_users_manager_that_does_not_answer_holds_up_nothing() -> None:
    """It gets a second; then its user's program is slowed task by task, without it."""
    output_of("loginctl", "enable-linger", USER)
    stopped: list[int] = []
    try:
        output_of("systemctl", "start", "user@1000.service")
        wait_until(lambda: Path("/run/user/1000/bus").exists(), "the bus of alice", within_s=60)
        user = ("runuser", "-u", USER, "--", "env", "XDG_RUNTIME_DIR=/run/user/1000")
        output_of(*user, "systemd-run", "--user", "--quiet", "--collect", "--unit=act-batch", "-p", "StandardOutput=null", str(HOG))
        group = output_of(*user, "systemctl", "--user", "show", "-P", "ControlGroup", "act-batch.service")
        (hog,) = hogs_in(ROOT / group.lstrip("/"))
        stopped = [pid for pid in _all_pids() if exe_of(pid) == "/usr/lib/systemd/systemd" and _uid_of(pid) == 1000]
        assert stopped
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        with acting() as act:
            started_s = time.monotonic()
            action = act.applied(hog)

            assert action.route is Route.TASK
            assert time.monotonic() - started_s < 10
            assert policy_of(hog) == SCHED_IDLE
        assert policy_of(hog) == 0
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        output_of("loginctl", "disable-linger", USER)
        output_of("systemctl", "stop", "user-1000.slice")


def test_without_systemd_a_subtree_of_our_own_comes_and_goes(tmp_path: Path) -> None:
    """To a host where /run/systemd is not there the same kernel is one without systemd: real files, and the way back."""
    (tmp_path / "run").mkdir()
    with a_unit(loops=1) as unit:
        before, where = cgroup_values(), cgroup_of(unit.pids[0])
        with acting(Host(run=tmp_path / "run")) as act:
            action = act.applied(unit.pids[0])

            assert action.route is Route.SUBTREE
            assert cgroup_of(unit.pids[0]) == action.cgroup
            assert cpu_pct_of(unit.pids[0], 3) == pytest.approx(20, rel=0.25)
            act.step(IDLE)
            assert (ROOT / action.cgroup.lstrip("/") / "cpu.idle").read_text() == "1\n"
            assert act.release() is ReleaseResult.RESTORED

        assert cgroup_of(unit.pids[0]) == where
        assert not (ROOT / "brainkernel").exists()
        assert changes(before, cgroup_values()) == {}


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]


def _uid_of(pid: int) -> int:
    try:
        return (PROC / str(pid)).stat().st_uid
    except FileNotFoundError:
        return -1
