"""The main promise, end to end: who hurts others is slowed down, nobody else, and nothing of it stays."""

from __future__ import annotations

import time

import pytest

from vm.inside.agent import QUOTA_PCT, active_limits, release_all, running_agent, undo
from vm.inside.cgroups import cgroup_values, changes, settings_of
from vm.inside.hogs import Hog, a_hog, a_hurting_hog, assert_restored, quota_pct_of
from vm.inside.processes import cgroup_of, cpu_pct_of, scheduling
from vm.inside.units import PROTECTED, a_unit, a_victim
from vm.inside.waiting import wait_until

LIMITED_WITHIN_S = 10.0  # of hurting others
WATCHED_S = 15.0  # long enough for a limit that should not come
anywhere = pytest.mark.parametrize("place", ["unit", "session"])


def _wait_for_the_limit(hog: Hog) -> None:
    wait_until(lambda: hog.quota_pct == pytest.approx(QUOTA_PCT), f"a quota of {QUOTA_PCT} % on the hog", within_s=LIMITED_WITHIN_S)


@anywhere
def test_a_hog_is_limited_to_its_share_within_ten_seconds(place: str) -> None:
    """From the first moment that it hurts others, whether it has a unit of its own or sits in a login session."""
    with running_agent(), a_hurting_hog(place) as hog:
        _wait_for_the_limit(hog)

        assert cpu_pct_of(hog.cgroup, 5) == pytest.approx(QUOTA_PCT, rel=0.2)


def test_in_a_session_only_the_hog_is_limited() -> None:
    """Its sibling, the shell and everybody else keep their cgroup, their settings and their CPU."""
    with running_agent(), a_hurting_hog("session") as hog:
        session = hog.session
        assert session is not None
        innocents = (session.shell, session.sibling)
        before, scheduled = settings_of(session.cgroup), scheduling()
        _wait_for_the_limit(hog)

        assert {cgroup_of(pid) for pid in innocents} == {f"/user.slice/{session.slice}/{session.scope}"}
        assert cgroup_of(session.hog).startswith(f"/user.slice/{session.slice}/")  # the user's own limits still hold
        assert changes(before, settings_of(session.cgroup)) == {}
        assert changes(scheduled, scheduling()) == {}
        assert cpu_pct_of(session.sibling, 5) > 2 * QUOTA_PCT


def test_a_protected_program_is_left_alone_while_a_hog_beside_it_is_limited() -> None:
    """Both do the same, and the rules say the same of both; the operator has protected one."""
    with running_agent(), a_unit(PROTECTED, name="payments.service") as protected:
        before = scheduling()
        with a_hurting_hog("unit") as hog:
            _wait_for_the_limit(hog)
            time.sleep(WATCHED_S - LIMITED_WITHIN_S)

            assert quota_pct_of(protected.cgroup) is None
            assert (protected.cgroup / "cpu.weight").read_text() == "100\n"
            assert changes(before, scheduling()) == {}
            assert [limit["pid"] for limit in active_limits()] == [hog.pids[0]]


@anywhere
def test_undo_restores_every_value(place: str) -> None:
    """While the agent runs on, and it does not limit again what a person has freed."""
    with a_hog(place) as hog:
        before = cgroup_values()
        with running_agent(), a_victim():
            _wait_for_the_limit(hog)
            (limit,) = wait_until(active_limits, "the limit in the list")

            undo(limit["id"])

            assert_restored(hog, before)
            time.sleep(LIMITED_WITHIN_S)
            assert hog.quota_pct is None


@anywhere
def test_stopping_the_agent_restores_every_value(place: str) -> None:
    """Ctrl-C is enough: no limit outlives the agent."""
    with a_hog(place) as hog:
        before = cgroup_values()
        with running_agent() as agent, a_victim():
            _wait_for_the_limit(hog)

            status = agent.stop()

            assert status == 0
            assert_restored(hog, before)


@anywhere
def test_release_after_kill_9_restores_every_value(place: str) -> None:
    """The ledger on disk is enough to release what a killed agent has left."""
    with a_hog(place) as hog:
        before = cgroup_values()
        with running_agent() as agent, a_victim():
            _wait_for_the_limit(hog)
            agent.kill()

            release_all()

            assert_restored(hog, before)


@anywhere
def test_in_observe_mode_nothing_is_written(place: str) -> None:
    """The limit that enforce mode would set is said, and only said."""
    with a_hog(place) as hog:
        before = cgroup_values()
        with running_agent("observe") as agent, a_victim():
            wait_until(lambda: [line for line in agent.lines if line.get("decision") == "limit"], "a decision to limit")
            time.sleep(WATCHED_S)

            assert changes(before, cgroup_values()) == {}
            assert active_limits() == []
            assert hog.quota_pct is None
