"""The contracts of systemd and the kernel on which the agent's routes rest, without the agent.

When a test here fails on a new suite, the design has to change, not the test.
"""

from __future__ import annotations

import pytest

from vm.inside.cgroups import cgroup_values, changes
from vm.inside.processes import cgroup_of, cpu_pct_of, wait_pct_of
from vm.inside.sessions import LoginSession, a_login_session
from vm.inside.systemd import NOT_SET, drop_ins_of, property_of, set_properties, start_scope
from vm.inside.units import a_unit, a_victim
from vm.inside.waiting import wait_until

QUOTA_PCT = 20
QUOTA_USEC = QUOTA_PCT * 10_000
SCOPE = "facts.scope"


def test_two_busy_loops_make_a_victim_wait() -> None:
    """The load of these tests hurts: without it no symptom could be expected."""
    with a_victim() as victim:
        alone_pct = wait_pct_of(victim.pids[0], 2)

        with a_unit():
            with_hog_pct = wait_pct_of(victim.pids[0], 3)

    assert with_hog_pct > 25
    assert alone_pct < with_hog_pct / 2


def test_a_quota_set_on_a_unit_limits_all_its_processes_together() -> None:
    """SetUnitProperties is enough for a unit of its own."""
    with a_unit() as hog:
        unlimited_pct = cpu_pct_of(hog.cgroup, 2)

        set_properties(hog.name, CPUQuotaPerSecUSec=QUOTA_USEC)
        wait_until(lambda: (hog.cgroup / "cpu.max").read_text() == "20000 100000\n", "cpu.max of the hog")

        assert unlimited_pct > 120
        assert cpu_pct_of(hog.cgroup, 4) == pytest.approx(QUOTA_PCT, rel=0.2)


def test_setting_the_old_values_again_restores_every_file_and_controller() -> None:
    """Limits bring controllers and files all over the tree; taking them back takes these away as well."""
    with a_unit() as hog:
        before = cgroup_values()

        set_properties(hog.name, CPUQuotaPerSecUSec=QUOTA_USEC, CPUWeight=20, IOWeight=20)
        limited = wait_until(lambda: changes(before, cgroup_values()), "any change")
        set_properties(hog.name, CPUQuotaPerSecUSec=NOT_SET, CPUWeight=NOT_SET, IOWeight=NOT_SET)

        assert any(key.endswith("cgroup.subtree_control") for key in limited)
        wait_until(lambda: not changes(before, cgroup_values()), "every value as before")
        assert [path.read_text().splitlines()[-1] for path in drop_ins_of(hog.name)] == ["CPUQuota=", "CPUWeight=", "IOWeight="]
        assert property_of(hog.name, "NeedDaemonReload") == "no"


def test_weight_zero_is_idle() -> None:
    """CPUWeight=idle has no number of its own over D-Bus."""
    with a_unit() as hog:
        set_properties(hog.name, CPUWeight=0)

        wait_until(lambda: (hog.cgroup / "cpu.idle").exists() and (hog.cgroup / "cpu.idle").read_text() == "1\n", "cpu.idle of the hog")


def test_a_login_is_a_session_of_logind_with_its_processes_in_one_scope() -> None:
    """The session of these tests is a real one: PAM registered it, and its scope holds what the shell started."""
    with a_login_session() as session:
        assert session.scope == f"session-{session.id}.scope"
        assert session.slice == "user-1000.slice"
        assert {cgroup_of(pid) for pid in (session.shell, session.hog, session.sibling)} == {f"/user.slice/user-1000.slice/{session.scope}"}


def _move_hog_of(session: LoginSession) -> str:
    start_scope(SCOPE, [session.hog], Slice=session.slice, OOMPolicy="continue", CollectMode="inactive-or-failed")
    wait_until(lambda: cgroup_of(session.hog).endswith(f"/{SCOPE}"), "the hog in its new scope")
    return cgroup_of(session.hog)


def test_a_scope_made_around_a_pid_takes_it_out_of_the_session_alone() -> None:
    """The scope route: same slice, this process only, and the limit holds only for it."""
    with a_login_session() as session:
        before = cgroup_values()

        assert _move_hog_of(session) == f"/user.slice/{session.slice}/{SCOPE}"
        set_properties(SCOPE, CPUQuotaPerSecUSec=QUOTA_USEC)

        assert cpu_pct_of(session.hog, 4) == pytest.approx(QUOTA_PCT, rel=0.2)
        assert cpu_pct_of(session.sibling, 2) > 80
        assert {cgroup_of(pid) for pid in (session.shell, session.sibling)} == {f"/user.slice/{session.slice}/{session.scope}"}
        assert changes(before, cgroup_values()) == {}


def test_a_scope_is_freed_by_setting_its_values_back_and_goes_with_its_last_process() -> None:
    """There is no way back into the session's scope: the new one stays, without limits, as long as it is needed."""
    with a_login_session() as session:
        before = cgroup_values()
        _move_hog_of(session)
        set_properties(SCOPE, CPUQuotaPerSecUSec=QUOTA_USEC)

        set_properties(SCOPE, CPUQuotaPerSecUSec=NOT_SET)
        wait_until(lambda: cpu_pct_of(session.hog, 1) > 60, "a free hog")

        assert changes(before, cgroup_values()) == {}
        assert property_of(SCOPE, "ActiveState") == "active"
    assert property_of(SCOPE, "LoadState") == "not-found"
