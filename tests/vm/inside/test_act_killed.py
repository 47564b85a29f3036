"""kill -9 of the act stage at moments of our choice, on a real systemd."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.enforcer import Permissions
from brainkernel.act.limiter import Limiter, release_everything
from brainkernel.clock import SystemClock
from brainkernel.model import CLOCK_TICK_NS, Decision, DecisionKind, Limit, ProcessKey
from support.nouns import a_suspect, a_symptom, a_verdict

from vm.inside.cgroups import cgroup_values
from vm.inside.hogs import FREE_PCT, Hog, a_hog, assert_restored
from vm.inside.processes import cpu_pct_of, exe_of, stat_of
from vm.inside.units import a_unit
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from pathlib import Path

LEASE_NS = 600 * 10**9
LIMIT = Limit(cpu_quota_pct=20)


def _decision_on(pid: int) -> Decision:
    exe = exe_of(pid)
    assert exe is not None
    return Decision(
        id=1,
        time_ns=time.time_ns(),
        suspect=a_suspect(exe, key=ProcessKey(pid, int(stat_of(pid)[19]) * CLOCK_TICK_NS)),
        verdict=a_verdict(),
        kind=DecisionKind.LIMIT,
        reason="a test says so",
        symptom=a_symptom(),
        limit=LIMIT,
        acts=True,
        lease_ns=LEASE_NS,
    )


def _start_to_limit(state_dir: Path, pid: int) -> None:
    limiter = Limiter(state_dir, Permissions(lambda _exe, _unit: ""), SystemClock())
    limiter.apply(_decision_on(pid))
    time.sleep(60)


@pytest.mark.parametrize("place", ["unit", "session"])
@pytest.mark.parametrize("after_s", [0.03, 0.1, 0.3])
def test_a_kill_at_any_moment_leaves_nothing_after_the_release(place: str, after_s: float, tmp_path: Path) -> None:
    """Whether the intent was down, the scope made, or the value written: what the ledger knows is enough."""
    with a_hog(place) as hog:
        before = cgroup_values()
        dying = multiprocessing.get_context("fork").Process(target=_start_to_limit, args=(tmp_path, hog.pids[0]))
        dying.start()
        time.sleep(after_s)
        dying.kill()
        dying.join()

        release_everything(tmp_path)

        assert_restored(hog, before)


def test_who_outlives_a_unit_that_ended_under_a_limit_is_freed(tmp_path: Path) -> None:
    """Systemd forgets a cgroup with its unit: whoever lives on there (KillMode=process) would stay limited, with nobody to say so."""
    with a_unit(kill_mode="process") as unit:
        hog = Hog(unit.pids[1:])
        try:
            dying = multiprocessing.get_context("fork").Process(target=_start_to_limit, args=(tmp_path, unit.pids[0]))
            dying.start()
            wait_until(lambda: hog.quota_pct == LIMIT.cpu_quota_pct, "a limit")
            dying.kill()
            dying.join()
            output_of("systemctl", "stop", unit.name)
            assert hog.quota_pct == LIMIT.cpu_quota_pct  # systemd took it back from nobody

            release_everything(tmp_path)

            wait_until(lambda: hog.quota_pct is None, "a hog without quota")
            assert cpu_pct_of(hog.cgroup, 2) > FREE_PCT
        finally:
            os.kill(hog.pids[0], signal.SIGKILL)
    wait_until(
        lambda: not output_of("systemctl", "list-units", "--plain", "--no-legend", "brainkernel-*"), "the end of the scope that freed it"
    )
