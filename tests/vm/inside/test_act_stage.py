"""The act stage alone on a real systemd: told whom to limit, without anybody sensing or deciding."""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.limiter import Applied, Limiter, release_everything
from brainkernel.clock import SystemClock
from brainkernel.model import CLOCK_TICK_NS, Decision, DecisionKind, Limit, ProcessKey, ReleaseResult
from support.nouns import a_suspect, a_symptom, a_verdict

from vm.inside.cgroups import cgroup_values
from vm.inside.hogs import a_hog, assert_restored
from vm.inside.processes import cpu_pct_of, exe_of, stat_of
from vm.inside.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

QUOTA_PCT = 20.0
LEASE_NS = 600 * 10**9
DECISION_ID = 7
anywhere = pytest.mark.parametrize("place", ["unit", "session"])


def _decision_on(pid: int) -> Decision:
    exe = exe_of(pid)
    assert exe is not None
    return Decision(
        id=DECISION_ID,
        time_ns=time.time_ns(),
        suspect=a_suspect(exe, key=ProcessKey(pid, int(stat_of(pid)[19]) * CLOCK_TICK_NS)),
        verdict=a_verdict(),
        kind=DecisionKind.LIMIT,
        reason="a test says so",
        symptom=a_symptom(),
        limit=Limit(cpu_quota_pct=QUOTA_PCT),
        acts=True,
        lease_ns=LEASE_NS,
    )


def _limiter(state_dir: Path) -> Limiter:
    return Limiter(state_dir, lambda _exe, _unit: "", SystemClock())


def _applied(limiter: Limiter, pid: int) -> Applied:
    limiter.apply(_decision_on(pid))
    (result,) = wait_until(limiter.results, "a result of the limiter")
    assert isinstance(result, Applied), result
    return result


def _limit_and_die(state_dir: Path, pid: int) -> None:
    _applied(_limiter(state_dir), pid)
    os._exit(9)  # without any handler, as by kill -9


def _start_to_limit(state_dir: Path, pid: int) -> None:
    limiter = _limiter(state_dir)
    limiter.apply(_decision_on(pid))
    time.sleep(60)


@anywhere
def test_a_limit_is_applied_and_released_on_demand(place: str, tmp_path: Path) -> None:
    """The share is the configured one, and the release leaves no trace in any cgroup."""
    with a_hog(place) as hog:
        before = cgroup_values()
        limiter = _limiter(tmp_path)
        try:
            _applied(limiter, hog.pids[0])
            assert hog.quota_pct == pytest.approx(QUOTA_PCT)
            assert cpu_pct_of(hog.cgroup, 4) == pytest.approx(QUOTA_PCT, rel=0.2)

            assert limiter.release_all("the test ends it", deadline_s=10) == 0

            assert_restored(hog, before)
        finally:
            limiter.close()


@anywhere
def test_the_ledger_of_a_dead_process_is_enough_to_release(place: str, tmp_path: Path) -> None:
    """Another process finds on disk what was there before."""
    with a_hog(place) as hog:
        before = cgroup_values()
        dying = multiprocessing.get_context("fork").Process(target=_limit_and_die, args=(tmp_path, hog.pids[0]))
        dying.start()
        dying.join(30)
        assert hog.quota_pct == pytest.approx(QUOTA_PCT)

        released = release_everything(tmp_path)

        assert [one.result for one in released] == [ReleaseResult.RESTORED]
        assert_restored(hog, before)
        assert release_everything(tmp_path) == []


@anywhere
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
