"""The routes of `act` against a real systemd: what the fakes of the unit tests claim is proven here."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.limiter import NotApplied, Released, release_everything
from brainkernel.model import Limit, ReleaseResult, Route

from vm.inside.act import QUOTA, STATE_DIR, WEIGHT, acting
from vm.inside.cgroups import cgroup_values, changes, settings_of
from vm.inside.hogs import quota_pct_of
from vm.inside.processes import cgroup_of, cpu_pct_of, is_running
from vm.inside.sessions import a_login_session
from vm.inside.systemd import cgroup_dir_of, drop_ins_of, property_of
from vm.inside.units import HOG, a_unit, pids_in
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

USER_BUS = ("runuser", "-u", "alice", "--", "env", "XDG_RUNTIME_DIR=/run/user/1000")


@contextmanager
def a_service_with_a_file(name: str = "act-hog.service") -> Iterator[str]:
    """A service as a package ships one."""
    file = Path("/etc/systemd/system") / name
    file.write_text(f"[Service]\nExecStart={HOG}\nStandardOutput=null\n")
    output_of("systemctl", "daemon-reload")
    output_of("systemctl", "start", name)
    try:
        yield name
    finally:
        output_of("systemctl", "stop", name)
        file.unlink()
        output_of("systemctl", "daemon-reload")


def _main_pid(name: str) -> int:
    return wait_until(lambda: int(property_of(name, "MainPID")), f"a main process of {name}")


def test_a_unit_is_limited_stepped_and_restored_bit_for_bit() -> None:
    """Route UNIT: the values, the controllers and the drop-ins are as before, also in systemd's own mind."""
    with a_service_with_a_file() as name:
        pid, cgroup, before = _main_pid(name), cgroup_dir_of(name), cgroup_values()
        with acting() as act:
            action = act.applied(pid, WEIGHT)
            assert (action.route, action.unit) == (Route.UNIT, name)
            assert (cgroup / "cpu.weight").read_text() == "20\n"

            act.step(QUOTA)
            assert ((cgroup / "cpu.weight").read_text(), quota_pct_of(cgroup)) == ("100\n", 20)
            assert cpu_pct_of(cgroup, 4) == pytest.approx(20, rel=0.2)

            assert act.release() is ReleaseResult.RESTORED
            assert changes(before, cgroup_values()) == {}
            assert not [path for path in drop_ins_of(name) if path.exists()]

        assert property_of(name, "NeedDaemonReload") == "no"
        assert drop_ins_of(name) == []
        assert changes(before, cgroup_values()) == {}


def test_idle_stands_and_goes() -> None:
    """Weight zero is CPUWeight=idle."""
    with a_unit(loops=1) as unit, acting() as act:
        before = cgroup_values()
        act.applied(unit.pids[0], Limit(cpu_weight=0))
        assert (unit.cgroup / "cpu.idle").read_text() == "1\n"

        assert act.release() is ReleaseResult.RESTORED
        assert changes(before, cgroup_values()) == {}


def test_a_hog_in_a_session_is_moved_alone_and_freed_where_it_is() -> None:
    """Route SCOPE: the same slice, nobody else touched; a daemon-reload after the release brings nothing back."""
    with a_login_session() as session:
        before = cgroup_values()
        with acting() as act:
            action = act.applied(session.hog)
            assert action.route is Route.SCOPE
            assert cgroup_of(session.hog) == action.cgroup == f"/user.slice/{session.slice}/{action.unit}"
            assert cpu_pct_of(session.hog, 4) == pytest.approx(20, rel=0.2)
            assert cpu_pct_of(session.sibling, 2) > 60
            scope = f"/user.slice/{session.slice}/{session.scope}"
            assert {cgroup_of(pid) for pid in (session.shell, session.sibling)} == {scope}
            assert changes(before, cgroup_values()) == {}

            assert act.release() is ReleaseResult.RESTORED
        output_of("systemctl", "daemon-reload")

        assert is_running(session.hog)
        assert quota_pct_of(cgroup_dir_of(action.unit)) is None
        assert changes(before, cgroup_values()) == {}
        assert not Path(f"/run/systemd/transient/{action.unit}.d").exists()
    assert property_of(action.unit, "LoadState") == "not-found"


def test_a_moved_hog_is_limited_again_in_its_scope() -> None:
    """The second time its scope is a unit of its own."""
    with a_login_session() as session, acting() as act:
        first = act.applied(session.hog)
        act.release()

        second = act.applied(session.hog, WEIGHT)

        assert (second.route, second.unit) == (Route.UNIT, first.unit)


def test_the_shell_of_a_session_is_refused() -> None:
    """Nothing that leads a terminal's session is moved out of it."""
    with a_login_session() as session, acting() as act:
        before = settings_of(session.cgroup)

        answer = act.apply(session.shell)

        assert isinstance(answer, NotApplied)
        assert answer.refusal.rule == "session_leader"
        assert changes(before, settings_of(session.cgroup)) == {}


def test_a_user_service_is_limited_by_its_users_manager() -> None:
    """Root acts on the user's bus as that user, and leaves nothing in the user's directory."""
    output_of("loginctl", "enable-linger", "alice")
    try:
        output_of("systemctl", "start", "user@1000.service")
        wait_until(lambda: Path("/run/user/1000/bus").exists(), "the bus of alice", within_s=60)
        output_of(*USER_BUS, "systemd-run", "--user", "--quiet", "--collect", "--unit=act-batch", "-p", "StandardOutput=null", str(HOG))
        group = output_of(*USER_BUS, "systemctl", "--user", "show", "-P", "ControlGroup", "act-batch.service")
        cgroup = Path("/sys/fs/cgroup") / group.lstrip("/")
        (pid,) = pids_in(cgroup)
        before = cgroup_values()
        with acting() as act:
            action = act.applied(pid)

            assert (action.route, action.unit, action.user_uid) == (Route.UNIT, "act-batch.service", 1000)
            assert quota_pct_of(cgroup) == 20
            assert act.release() is ReleaseResult.RESTORED
            assert changes(before, cgroup_values()) == {}
        assert not list(Path("/run/user/1000/systemd").rglob("50-CPU*.conf"))
        output_of(*USER_BUS, "systemctl", "--user", "stop", "act-batch.service")
    finally:
        output_of("loginctl", "disable-linger", "alice")
        output_of("systemctl", "stop", "user-1000.slice")


def test_a_unit_with_an_administrators_limit_is_refused() -> None:
    """Somebody decided already."""
    with a_unit(loops=1) as unit, acting() as act:
        output_of("systemctl", "set-property", "--runtime", unit.name, "CPUWeight=77")

        answer = act.apply(unit.pids[0])

        assert isinstance(answer, NotApplied)
        assert answer.refusal.rule == "administrator_limit"


def test_a_limit_that_an_administrator_changes_is_theirs() -> None:
    """We stand down by ourselves within seconds, and their value stays."""
    with a_unit(loops=1) as unit, acting() as act:
        act.applied(unit.pids[0])

        output_of("systemctl", "set-property", "--runtime", unit.name, "CPUQuota=50%")

        assert act.answer(Released).result is ReleaseResult.FOREIGN
        output_of("systemctl", "daemon-reload")
        assert quota_pct_of(unit.cgroup) == 50


def test_a_daemon_reload_amid_a_limit_changes_nothing() -> None:
    """Package upgrades do it all the time: the limit stands, and is released as ever."""
    with a_service_with_a_file() as name, acting() as act:
        before = cgroup_values()
        act.applied(_main_pid(name))

        output_of("systemctl", "daemon-reload")
        time.sleep(3)

        assert quota_pct_of(cgroup_dir_of(name)) == 20
        assert act.release() is ReleaseResult.RESTORED
        assert changes(before, cgroup_values()) == {}


def test_a_restart_amid_a_limit_frees_the_new_process() -> None:
    """The drop-in would limit it as well, though it is not who was meant."""
    with a_service_with_a_file() as name, acting() as act:
        act.applied(_main_pid(name))

        output_of("systemctl", "restart", name)

        assert act.answer(Released).result is ReleaseResult.RESTORED
        assert quota_pct_of(cgroup_dir_of(name)) is None
        assert not [path for path in drop_ins_of(name) if path.exists()]


def test_a_stop_amid_a_limit_leaves_no_trap_for_the_next_start() -> None:
    """The files in system.control would bite then."""
    with a_service_with_a_file() as name, acting() as act:
        act.applied(_main_pid(name))

        output_of("systemctl", "stop", name)
        act.answer(Released)
        output_of("systemctl", "start", name)

        assert quota_pct_of(cgroup_dir_of(name)) is None
        assert not Path(f"/run/systemd/system.control/{name}.d").exists()


def test_a_lease_that_is_not_renewed_ends_the_limit() -> None:
    """Should the pipeline stall, no limit outlives its lease."""
    with a_unit(loops=1) as unit, acting() as act:
        before = cgroup_values()

        act.applied(unit.pids[0], lease_ns=1_000_000_000)

        assert act.answer(Released).why == "its lease ended"
        assert changes(before, cgroup_values()) == {}


@pytest.mark.parametrize("place", ["unit", "session"])
def test_what_a_killed_agent_left_is_released_from_the_ledger(place: str) -> None:
    """`release_everything` needs no daemon and no database."""
    with a_login_session() as session, a_unit(loops=1) as unit:
        before = cgroup_values()
        pid = unit.pids[0] if place == "unit" else session.hog
        killed = f"""
            import os
            from vm.inside.act import Act
            act = Act()
            act.applied({pid})
            os.kill(os.getpid(), 9)
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], check=False)
        assert quota_pct_of(Path("/sys/fs/cgroup") / cgroup_of(pid).lstrip("/")) == 20

        released = release_everything(STATE_DIR)

        assert [one.result for one in released] == [ReleaseResult.RESTORED]
        assert quota_pct_of(Path("/sys/fs/cgroup") / cgroup_of(pid).lstrip("/")) is None
        assert changes(before, cgroup_values()) == {}
        assert release_everything(STATE_DIR) == []
