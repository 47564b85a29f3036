"""The way back from a limit: the old values, or somebody else's."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.systemd import NOT_SET
from brainkernel.errors import ActError
from brainkernel.model import Action, Limit, Refusal, ReleaseResult
from support.act_stage import QUOTA, WEIGHT, Stage
from support.fake_systemd import UNSET, FakeSystemd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def test_step_replaces_the_limit_and_release_restores_the_first_values(stage: Stage) -> None:
    """A step takes the place of the one before; what is restored is what was there before the first."""
    stage.apply(WEIGHT)

    action = stage.enforcer.step(1, QUOTA)

    assert isinstance(action, Action)
    assert action.limit == QUOTA
    assert stage.fake.cpu_files("/system.slice/hog.service") == {"cpu.max": "20000 100000", "cpu.weight": "100", "cpu.idle": "0"}
    assert stage.release() is ReleaseResult.RESTORED
    assert stage.systemd.dropins() == []


def test_release_twice_does_no_harm(stage: Stage) -> None:
    """The second time there is nothing to do."""
    stage.apply()
    stage.release()

    assert stage.release() is ReleaseResult.GONE


@pytest.mark.parametrize("value", [500_000, 10_000])
def test_release_leaves_what_an_administrator_changed(stage: Stage, value: int) -> None:
    """A value that is not ours any more is theirs: it stays, in systemd, on disk and in the cgroup."""
    stage.apply()
    stage.systemd.foreign_set("hog.service", "CPUQuotaPerSecUSec", value)

    assert stage.release() is ReleaseResult.FOREIGN
    assert stage.unit.limits["CPUQuotaPerSecUSec"] == value
    stage.systemd.daemon_reload()
    assert stage.unit.limits["CPUQuotaPerSecUSec"] == value


def test_release_leaves_what_was_written_past_systemd(stage: Stage) -> None:
    """Container runtimes write the cgroup themselves: we stand down, until the unit starts anew or the agent ends."""
    stage.apply()
    (stage.fake.dir_of("/system.slice/hog.service") / "cpu.max").write_text("50000 100000\n")

    assert stage.release() is ReleaseResult.FOREIGN
    assert stage.fake.cpu_files("/system.slice/hog.service")["cpu.max"] == "50000 100000"
    assert stage.systemd.dropins() == []
    assert list(stage.ledger.live) == [1]

    stage.systemd.stop("hog.service")
    stage.systemd.start("hog.service")
    assert stage.release() is ReleaseResult.RESTORED
    assert stage.unit.limits == stage.unit.configured


def test_the_last_release_takes_back_what_was_bypassed(stage: Stage) -> None:
    """Once we are gone nobody would undo it: systemd forgets our value, and the bypass with it."""
    stage.apply()
    (stage.fake.dir_of("/system.slice/hog.service") / "cpu.max").write_text("50000 100000\n")
    stage.release()

    assert stage.enforcer.undo.release(1, last=True) is ReleaseResult.RESTORED
    assert stage.unit.limits == stage.unit.configured
    assert stage.ledger.live == {}


def test_release_restores_one_property_when_the_other_is_foreign(stage: Stage) -> None:
    """Standing down is for the value that changed; ours beside it still goes."""
    stage.apply(WEIGHT)
    stage.enforcer.step(1, QUOTA)
    stage.systemd.foreign_set("hog.service", "CPUWeight", 300)

    assert stage.release() is ReleaseResult.FOREIGN
    assert stage.unit.limits == {**UNSET, "CPUWeight": 300}


def test_an_existing_drop_in_of_the_administrator_survives(stage: Stage) -> None:
    """They had reset the weight themselves (an empty value): that file is theirs, though systemd rewrote it for us."""
    stage.systemd.foreign_set("hog.service", "CPUWeight", NOT_SET)
    before = [path.read_text() for path in stage.systemd.dropins()]
    stage.apply(WEIGHT)

    assert stage.release() is ReleaseResult.RESTORED
    assert [path.read_text() for path in stage.systemd.dropins()] == before


def test_a_restarted_unit_is_released_too(stage: Stage) -> None:
    """The drop-in limits the new processes as well, though they are not who it was meant for."""
    stage.apply()
    stage.systemd.stop("hog.service")
    stage.systemd.start("hog.service")
    assert stage.fake.cpu_files("/system.slice/hog.service")["cpu.max"] == "20000 100000"

    assert stage.release() is ReleaseResult.RESTORED
    assert stage.fake.cpu_files("/system.slice/hog.service") == {}
    assert stage.systemd.dropins() == []


def test_a_stopped_unit_is_released_too(stage: Stage) -> None:
    """Its drop-ins would bite at the next start."""
    stage.apply()
    stage.systemd.stop("hog.service")

    assert stage.release() is ReleaseResult.RESTORED
    assert stage.systemd.dropins() == []
    assert stage.unit.limits == stage.unit.configured


def test_a_unit_that_vanished_is_gone(stage: Stage) -> None:
    """Nothing of it is left to restore; drop-ins that survived it are removed."""
    stage.apply()
    stage.systemd.stop("hog.service")
    del stage.systemd.units["hog.service"]

    assert stage.release() is ReleaseResult.GONE
    assert stage.systemd.dropins() == []


@pytest.mark.parametrize("forgets_ended", [True, False], ids=["systemd 252", "later"])
@pytest.mark.parametrize("limit", [QUOTA, Limit(cpu_weight=0)])
def test_who_lives_on_in_a_stopped_unit_is_freed(stage: Stage, limit: Limit, *, forgets_ended: bool) -> None:
    """KillMode=process leaves workers behind, and systemd writes no cgroup of a unit that ended: they get a scope without limits."""
    stage.systemd.forgets_ended = forgets_ended
    stage.fake.spawn(501, "/system.slice/hog.service", ppid=500)
    stage.apply(limit)
    stage.systemd.stop_main_process("hog.service")

    assert stage.release() is ReleaseResult.RESTORED
    scope = stage.fake.cgroup_of[500]
    assert scope == stage.fake.cgroup_of[501] == f"/system.slice/brainkernel-freed-500-{stage.hog.start_ns}.scope"
    assert stage.fake.cpu_files(scope) == {}
    assert stage.systemd.dropins() == []


def test_one_of_them_that_ends_meanwhile_does_not_keep_the_others(stage: Stage) -> None:
    """It fails systemd's whole call."""
    stage.fake.spawn(501, "/system.slice/hog.service", ppid=500)
    stage.apply()
    stage.systemd.stop_main_process("hog.service")
    stage.systemd.on_scope = lambda request: stage.fake.end(501) if 501 in request.tgids else None

    assert stage.release() is ReleaseResult.RESTORED
    assert stage.fake.cgroup_of[500].endswith(".scope")


def test_who_is_confined_by_a_stopped_unit_is_not_moved_out_of_it(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Its sandbox is bound to the cgroup: they stay limited, it is said, and tried again until they end or the unit starts."""
    stage.unit.bound = ("IPAddressDeny",)
    stage.apply()
    stage.systemd.stop_main_process("hog.service")

    assert stage.release() is ReleaseResult.FAILED
    assert "hog.service ended, and who lives on in /system.slice/hog.service is confined by it (IPAddressDeny)" in caplog.text
    assert stage.fake.cgroup_of[500] == "/system.slice/hog.service"

    stage.systemd.start("hog.service")
    assert stage.release() is ReleaseResult.RESTORED
    assert stage.fake.cpu_files("/system.slice/hog.service") == {}


def test_a_scope_that_systemd_forgot_while_it_was_in_use_holds_nobody(stage: Stage) -> None:
    """Before 258 it could end right after its start with the process inside (systemd pull request 36801)."""
    hog = stage.login()
    action = stage.apply(key=hog)
    assert isinstance(action, Action)
    stage.systemd.stop_main_process(action.unit, vanishes=True)

    assert stage.release() is ReleaseResult.GONE
    assert stage.fake.cgroup_of[hog.tgid] == f"/user-1000.slice/brainkernel-freed-{hog.tgid}-{hog.start_ns}.scope"
    assert stage.fake.cpu_files(stage.fake.cgroup_of[hog.tgid]) == {}


def test_a_value_that_somebody_gave_to_those_who_live_on_is_theirs(stage: Stage) -> None:
    """Only from ours are they freed."""
    stage.apply()
    stage.systemd.stop_main_process("hog.service")
    (stage.fake.dir_of("/system.slice/hog.service") / "cpu.max").write_text("50000 100000\n")

    assert stage.release() is ReleaseResult.RESTORED
    assert stage.fake.cgroup_of[500] == "/system.slice/hog.service"


def test_a_cgroup_that_was_made_anew_at_the_same_path_is_not_ours(stage: Stage) -> None:
    """Its values may look like ours: the directory is another one, and those in it are left alone."""
    stage.apply()
    stage.systemd.stop_main_process("hog.service", vanishes=True)
    stage.fake.dir_of("/system.slice/hog.service").rename(stage.fake.root / "removed")  # a file system may give its inode away at once
    stage.fake.make_cgroup("/system.slice/hog.service")
    (stage.fake.dir_of("/system.slice/hog.service") / "cpu.max").write_text("20000 100000\n")

    stage.fake.spawn(700, "/system.slice/hog.service")

    assert stage.release() is ReleaseResult.GONE
    assert stage.fake.cgroup_of[700] == "/system.slice/hog.service"


def test_a_limit_of_a_user_who_logged_out_is_gone(tmp_path: Path) -> None:
    """Their manager ended with all it ran, so that there is nobody to ask and nothing to wait for."""
    with Stage(tmp_path) as stage:
        base = "/user.slice/user-1000.slice/user@1000.service"
        stage.systemd.add("user@1000.service", "user.slice/user-1000.slice")
        stage.fake.make_cgroup(f"{base}/app.slice")
        (stage.fake.dir_of(base) / "cgroup.controllers").write_text("cpu memory pids\n")
        user = stage.managers.users[1000] = FakeSystemd(stage.fake, base=base, user_uid=1000)
        user.add("batch.service", "app.slice")
        assert isinstance(stage.apply(key=stage.fake.spawn(700, f"{base}/app.slice/batch.service")), Action)

        user.stop("batch.service")
        del stage.managers.users[1000]
        assert stage.release() is ReleaseResult.FAILED
        shutil.rmtree(stage.fake.root / "run/user/1000")

        assert stage.release() is ReleaseResult.GONE
        assert stage.ledger.live == {}


def test_release_fails_without_forgetting(stage: Stage) -> None:
    """While systemd does not answer the limit stays in the ledger, and the next try ends it."""
    stage.apply()

    def fail(_: str) -> None:
        msg = "org.freedesktop.DBus.Error.NoReply: busy"
        raise ActError(msg)

    stage.systemd.deaf = fail
    assert stage.release() is ReleaseResult.FAILED
    stage.systemd.deaf = lambda _: None

    assert stage.release() is ReleaseResult.RESTORED


def test_a_drop_in_that_cannot_be_removed_does_not_hold_up_the_release(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In a sandbox that shows /run read-only the limit ends all the same; the log says what is left."""

    def read_only(*_: object) -> bool:
        raise OSError(30, "Read-only file system")

    stage.apply()
    monkeypatch.setattr("brainkernel.act.dropins.remove_dropin", read_only)

    assert stage.release() is ReleaseResult.RESTORED
    assert stage.unit.limits == stage.unit.configured
    assert "50-CPUQuota.conf cannot be removed" in caplog.text


def test_a_step_does_not_overwrite_what_an_administrator_set_beside_our_limit(stage: Stage) -> None:
    """They set a quota while we held a weight: the step to a quota of ours stands down."""
    stage.apply(WEIGHT)
    stage.systemd.foreign_set("hog.service", "CPUQuotaPerSecUSec", 770_000)

    refusal = stage.step(QUOTA)

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "foreign"
    assert stage.release() is ReleaseResult.RESTORED
    assert stage.unit.limits == {**UNSET, "CPUQuotaPerSecUSec": 770_000}
