"""One limit, from decision to read-back to undo."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.limiter import release_everything
from brainkernel.act.scheduling import SCHED_IDLE, Scheduling
from brainkernel.errors import ActError
from brainkernel.model import Action, Limit, Refusal, ReleaseResult, Route
from support.act_stage import A_MINUTE_NS, QUOTA, WEIGHT, Stage, a_decision
from support.fake_systemd import UNSET, FakeSystemd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDLE = Limit(cpu_weight=0)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        (QUOTA, {"cpu.max": "20000 100000", "cpu.weight": "100", "cpu.idle": "0"}),
        (WEIGHT, {"cpu.max": "max 100000", "cpu.weight": "20", "cpu.idle": "0"}),
        (IDLE, {"cpu.max": "max 100000", "cpu.weight": "0", "cpu.idle": "1"}),
    ],
    ids=str,
)
def test_a_limit_stands_and_goes_without_a_trace(stage: Stage, limit: Limit, shown: dict[str, str]) -> None:
    """The cgroup shows the limit, and after the release neither values nor files of ours remain."""
    action = stage.apply(limit)

    assert isinstance(action, Action)
    assert (action.route, action.unit, action.expires_ns) == (Route.UNIT, "hog.service", 1000 + A_MINUTE_NS)
    assert stage.fake.cpu_files("/system.slice/hog.service") == shown

    assert stage.release() is ReleaseResult.RESTORED
    assert stage.fake.cpu_files("/system.slice/hog.service") == {}
    assert stage.systemd.dropins() == []
    assert stage.ledger.live == {}


def test_apply_waits_for_a_late_systemd(stage: Stage) -> None:
    """Systemd applies after its answer: the limit counts as set only once the cgroup shows it."""
    stage.systemd.late = 3

    action = stage.apply()

    assert isinstance(action, Action)
    assert stage.fake.cpu_files("/system.slice/hog.service")["cpu.max"] == "20000 100000"
    assert stage.release() is ReleaseResult.RESTORED


def test_apply_gives_up_and_undoes_when_the_cgroup_never_shows_the_limit(stage: Stage) -> None:
    """A limit that cannot be read back does not count, and what was asked of systemd is taken back."""
    stage.systemd.late = 1000

    refusal = stage.apply()
    stage.systemd.settle_cgroups()

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "read_back"
    assert stage.unit.limits == stage.unit.configured


def test_a_quota_is_whole_percents(stage: Stage) -> None:
    """Systemd writes whole percents to its drop-in: a fraction would change by itself at a daemon-reload."""
    action = stage.apply(Limit(cpu_quota_pct=12.6))
    stage.systemd.daemon_reload()

    assert isinstance(action, Action)
    assert stage.fake.cpu_files("/system.slice/hog.service")["cpu.max"] == "13000 100000"
    assert stage.release() is ReleaseResult.RESTORED


def test_step_stands_down_when_an_administrator_changed_it(stage: Stage) -> None:
    """We do not fight."""
    stage.apply(WEIGHT)
    stage.systemd.foreign_set("hog.service", "CPUWeight", 300)

    refusal = stage.enforcer.step(1, QUOTA)

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "foreign"
    assert stage.unit.limits == {**UNSET, "CPUWeight": 300}


def test_in_a_session_only_the_family_is_moved_and_limited(stage: Stage) -> None:
    """The hog and its child go to a scope in the same slice; shell and sibling stay where and as they were."""
    hog = stage.login()
    stage.systemd.late = 1

    action = stage.apply(key=hog)

    assert isinstance(action, Action)
    assert action.route is Route.SCOPE
    assert {key.tgid for key in action.moved} == {910, 911}
    assert action.cgroup == f"/user-1000.slice/{action.unit}"
    assert stage.fake.cpu_files(action.cgroup)["cpu.max"] == "20000 100000"
    assert {stage.fake.cgroup_of[pid] for pid in (900, 901, 920)} == {"/user-1000.slice/session-3.scope"}


def test_a_scope_gets_no_memory_limit_at_any_step(stage: Stage) -> None:
    """What the program holds stays charged to its session: the scope's own limit would not see it."""
    high = Limit(cpu_weight=20, memory_high_bytes=1 << 28)

    action = stage.apply(high, key=stage.login())
    stepped = stage.step(Limit(cpu_quota_pct=20, memory_high_bytes=1 << 28))

    assert isinstance(action, Action)
    assert isinstance(stepped, Action)
    assert (action.limit, stepped.limit) == (WEIGHT, QUOTA)
    assert all("charged to its session" in one.notes[0] for one in (action, stepped))


def test_a_released_scope_keeps_its_processes_and_no_limit(stage: Stage) -> None:
    """It is never stopped: that would end them. A daemon-reload brings no limit back."""
    action = stage.apply(key=stage.login())
    assert isinstance(action, Action)

    assert stage.release() is ReleaseResult.RESTORED
    stage.systemd.daemon_reload()

    assert stage.fake.cgroup_of[910] == action.cgroup
    assert stage.fake.cpu_files(action.cgroup) == {}
    assert stage.systemd.dropins() == []


def test_a_hog_in_a_scope_of_ours_is_limited_there_again(stage: Stage) -> None:
    """Moved once, its scope is a unit of its own."""
    hog = stage.login()
    first = stage.apply(key=hog)
    stage.release()

    second = stage.apply(key=hog, decision_id=2)

    assert isinstance(first, Action)
    assert isinstance(second, Action)
    assert (second.route, second.unit) == (Route.UNIT, first.unit)


def test_a_child_that_ends_while_it_is_moved_is_left_out(stage: Stage) -> None:
    """One dead process fails systemd's whole call; the others are tried again."""
    hog = stage.login()
    stage.systemd.on_scope = lambda request: stage.fake.end(911) if 911 in request.tgids else None

    action = stage.apply(key=hog)

    assert isinstance(action, Action)
    assert [key.tgid for key in action.moved] == [910]


def test_the_target_that_ends_while_it_is_moved_is_gone(stage: Stage) -> None:
    """A process that dies between decision and act is a normal case; nothing of ours remains."""
    hog = stage.login()
    stage.systemd.on_scope = lambda request: stage.fake.end(910) if 910 in request.tgids else None

    refusal = stage.apply(key=hog)

    assert isinstance(refusal, Refusal)
    assert stage.ledger.live == {}
    assert stage.systemd.dropins() == []


def test_a_reused_pid_is_not_touched(stage: Stage) -> None:
    """The pid is the same, the start time is not: it is somebody else."""
    stage.fake.end(500)
    stage.fake.spawn(500, "/system.slice/hog.service")

    refusal = stage.apply()

    assert refusal == Refusal(rule="gone", reason="the process ended")
    assert stage.systemd.dropins() == []


def test_a_target_that_ends_right_after_the_write_is_released(stage: Stage) -> None:
    """The limit would fall on whoever is left in the unit."""
    stage.fake.spawn(501, "/system.slice/hog.service")
    stage.systemd.late = 1
    real = stage.systemd.settle_cgroups

    def end_then_settle(changed: str = "") -> None:
        if 500 in stage.fake.cgroup_of:
            stage.fake.end(500)
        real(changed)

    stage.systemd.settle_cgroups = end_then_settle  # type: ignore[method-assign]

    refusal = stage.apply()

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "gone"
    assert stage.unit.limits == stage.unit.configured
    assert stage.ledger.live == {}


def test_a_unit_is_limited_once(stage: Stage) -> None:
    """Two decisions about two processes of one unit must not undo each other."""
    stage.apply()
    other = stage.fake.spawn(501, "/system.slice/hog.service")

    refusal = stage.apply(key=other, decision_id=2)

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "already_limited"


def test_nothing_is_written_without_leave(stage: Stage) -> None:
    """In observe mode a decision does not act, whatever its limit."""
    refusal = stage.enforcer.apply(a_decision(stage.hog, QUOTA, acts=False))

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "mode"
    assert stage.systemd.dropins() == []


def test_nothing_is_written_when_the_ledger_cannot_be(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk there are no new limits."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("brainkernel.act.ledger.os.fsync", full)

    refusal = stage.apply()

    assert isinstance(refusal, Refusal)
    assert "No space left" in refusal.reason
    assert stage.systemd.dropins() == []
    assert stage.ledger.live == {}


def test_where_systemd_does_not_know_idle_the_least_weight_stands_for_it(stage: Stage) -> None:
    """CPUWeight=idle came with 252; the step is not lost for it, and the person is told."""
    stage.systemd.systemd_version = 249

    action = stage.apply(IDLE)

    assert isinstance(action, Action)
    assert stage.unit.limits["CPUWeight"] == 1
    assert "systemd 249 has no CPUWeight=idle" in action.notes[0]


@pytest.mark.parametrize("method", ["unit_of_cgroup", "version", "set_limits", "unit"])
def test_a_bus_that_fails_leaves_nothing_behind(stage: Stage, method: str) -> None:
    """At whichever call it fails: a refusal, and no limit once the bus is back."""

    def fail(called: str) -> None:
        if called == method:
            msg = "org.freedesktop.DBus.Error.NoReply: busy"
            raise ActError(msg)

    stage.systemd.deaf = fail
    refusal = stage.apply(IDLE)
    stage.systemd.deaf = lambda _: None
    for action_id in tuple(stage.ledger.live):
        stage.release(action_id)

    assert isinstance(refusal, Refusal)
    assert "busy" in refusal.reason
    assert stage.unit.limits == stage.unit.configured
    assert stage.systemd.dropins() == []


def test_a_user_unit_goes_to_that_users_manager(tmp_path: Path) -> None:
    """Units of a user are set by the manager that owns them, with drop-ins in the user's own directory."""
    uid = os.getuid()  # acting as oneself needs no rights
    stage = Stage(tmp_path)
    base = f"/user.slice/user@{uid}.service"
    stage.systemd.add(f"user@{uid}.service", "user.slice")
    (stage.fake.dir_of(base) / "cgroup.controllers").write_text("cpu memory pids\n")
    user = FakeSystemd(stage.fake, base=base, user_uid=uid)
    stage.managers.users[uid] = user
    unit = user.add("app-indexer.service", "app.slice")
    key = stage.fake.spawn(700, f"{base}/app.slice/app-indexer.service")

    action = stage.apply(key=key)

    assert isinstance(action, Action)
    assert (action.unit, action.user_uid) == ("app-indexer.service", uid)
    assert unit.limits["CPUQuotaPerSecUSec"] == 200_000
    assert stage.release() is ReleaseResult.RESTORED
    assert user.dropins() == []
    stage.__exit__()


def test_users_managers_are_asked_last_when_all_ends(tmp_path: Path) -> None:
    """One that is slow holds up its user's limits alone."""
    uid = os.getuid()
    base = f"/user.slice/user@{uid}.service"
    with Stage(tmp_path) as stage:
        stage.systemd.add(f"user@{uid}.service", "user.slice")
        (stage.fake.dir_of(base) / "cgroup.controllers").write_text("cpu memory pids\n")
        user = stage.managers.users[uid] = FakeSystemd(stage.fake, base=base, user_uid=uid)
        user.add("batch.service", "app.slice")
        stage.apply(key=stage.fake.spawn(700, f"{base}/app.slice/batch.service"))
        stage.apply(decision_id=2)
        stage.ledger.close()

        released = release_everything(stage.state_dir, stage.fake.host, managers=stage.managers, patience=stage.patience)
        stage.open()

    assert [(one.action.id, one.result) for one in released] == [(2, ReleaseResult.RESTORED), (1, ReleaseResult.RESTORED)]


def test_without_the_users_manager_single_tasks_are_limited(stage: Stage) -> None:
    """It may be gone, slow or hostile: nothing is asked of it, and the reason says which."""
    stage.systemd.add("user@1000.service", "user.slice")
    stage.fake.make_cgroup("/user.slice/user@1000.service/app.slice/app-x.scope")
    key = stage.fake.spawn(700, "/user.slice/user@1000.service/app.slice/app-x.scope", session=700)

    action = stage.apply(IDLE, key=key)

    assert isinstance(action, Action)
    assert action.route is Route.TASK
    assert stage.fake.scheduler.values[700].policy == SCHED_IDLE
    assert stage.release() is ReleaseResult.RESTORED
    assert stage.fake.scheduler.values[700] == Scheduling()
