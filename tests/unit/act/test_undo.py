"""The way back from a limit: the old values, or somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.act.systemd import NOT_SET
from brainkernel.errors import ActError
from brainkernel.model import Action, Refusal, ReleaseResult
from support.act_stage import QUOTA, WEIGHT, Stage
from support.fake_systemd import UNSET

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
