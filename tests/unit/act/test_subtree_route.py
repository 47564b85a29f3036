"""Limits where systemd does not run: a cgroup of our own, and the way back out of it."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.routes.protocol import Fate
from brainkernel.model import Action, Limit, Refusal, ReleaseResult, Route
from support.act_stage import QUOTA, WEIGHT, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME = "/openrc.batch"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A host with cgroup v2 and without systemd: a hog with a child in a cgroup that somebody made, and a neighbour."""
    with Stage(tmp_path) as stage:
        shutil.rmtree(tmp_path / "run/systemd")
        stage.fake.make_cgroup(HOME)
        stage.hog = stage.fake.spawn(600, HOME)
        stage.fake.spawn(601, HOME, exe="/usr/bin/gzip", ppid=600)
        stage.fake.spawn(602, HOME, exe="/usr/bin/neighbour")
        yield stage


def control(stage: Stage, path: str = "/") -> list[str]:
    return (stage.fake.dir_of(path) / "cgroup.subtree_control").read_text().split()


def leaf_of(action: Action | Refusal) -> str:
    assert isinstance(action, Action), action
    assert action.route is Route.SUBTREE
    return action.cgroup


def fate(stage: Stage) -> Fate:
    return stage.enforcer.undo.fate_of(stage.ledger.live[1])


@pytest.mark.parametrize(
    ("limit", "name", "shown"),
    [(QUOTA, "cpu.max", "20000 100000"), (WEIGHT, "cpu.weight", "20"), (Limit(cpu_weight=0), "cpu.idle", "1")],
    ids=str,
)
def test_the_family_goes_into_a_leaf_and_comes_back(stage: Stage, limit: Limit, name: str, shown: str) -> None:
    """Only the hog and its child; released, the tree is as it was."""
    action = stage.apply(limit)

    leaf = leaf_of(action)
    assert {pid for pid, where in stage.fake.cgroup_of.items() if where == leaf} == {600, 601}
    assert stage.fake.cpu_files(leaf)[name] == shown
    assert fate(stage) is Fate.STANDS

    assert stage.release() is ReleaseResult.RESTORED
    assert {stage.fake.cgroup_of[pid] for pid in (600, 601, 602)} == {HOME}
    assert not stage.fake.dir_of("/brainkernel").exists()
    assert control(stage) == ["memory", "pids"]


def test_two_limits_share_the_subtree_and_the_last_one_takes_it_away(stage: Stage) -> None:
    """The cpu controller was switched on by the first and stays until nobody of ours needs it."""
    other = stage.fake.spawn(610, HOME, exe="/usr/bin/other")
    stage.apply()
    leaf_of(stage.apply(key=other, decision_id=2))

    stage.release(1)
    assert "cpu" in control(stage)
    stage.release(2)

    assert control(stage) == ["memory", "pids"]
    assert not stage.fake.dir_of("/brainkernel").exists()


def test_a_controller_that_was_on_stays_on(stage: Stage) -> None:
    """What we did not switch on is not ours to switch off."""
    (stage.fake.dir_of("/") / "cgroup.subtree_control").write_text("cpu memory pids\n")
    stage.apply()

    stage.release()

    assert control(stage) == ["cpu", "memory", "pids"]


def test_a_controller_that_others_need_by_now_stays_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says so: EBUSY."""
    stage.apply()
    real = stage.fake.host.cgroups.write

    def busy(file: Path, text: str) -> None:
        if text == "-cpu":
            raise OSError(errno.EBUSY, "Device or resource busy")
        real(file, text)

    monkeypatch.setattr(stage.fake.host.cgroups, "write", busy)

    assert stage.release() is ReleaseResult.FOREIGN
    assert stage.ledger.live == {}


def test_children_born_in_the_leaf_come_back_too(stage: Stage) -> None:
    """They belong where their parent came from."""
    leaf = leaf_of(stage.apply())
    stage.fake.spawn(603, leaf, exe="/usr/bin/gzip", ppid=600)

    stage.release()

    assert stage.fake.cgroup_of[603] == HOME


def test_who_lost_their_home_goes_to_the_next_one_above(stage: Stage) -> None:
    """The service that they came from was stopped meanwhile."""
    stage.apply()
    stage.fake.end(602)
    shutil.rmtree(stage.fake.dir_of(HOME))

    assert stage.release() is ReleaseResult.RESTORED
    assert stage.fake.cgroup_of[600] == "/"


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EOPNOTSUPP])
def test_whose_home_takes_no_processes_any_more_goes_to_the_next_one_above(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Somebody handed its controllers on to cgroups below it: the limit does not stand for ever because of that."""
    stage.apply()
    real = stage.fake.host.cgroups.write

    def inner(file: Path, text: str) -> None:
        if file == stage.fake.dir_of(HOME) / "cgroup.procs":
            raise OSError(code, "taken")
        real(file, text)

    monkeypatch.setattr(stage.fake.host.cgroups, "write", inner)

    assert stage.release() is ReleaseResult.RESTORED
    assert {stage.fake.cgroup_of[pid] for pid in (600, 601)} == {"/"}


def test_a_step_writes_the_same_leaf(stage: Stage) -> None:
    """From idle to a quota: the weight is the usual one again, the quota is new."""
    leaf = leaf_of(stage.apply(Limit(cpu_weight=0)))

    assert isinstance(stage.step(QUOTA), Action)

    assert stage.fake.cpu_files(leaf) == {"cpu.idle": "0", "cpu.max": "20000 100000", "cpu.weight": "100"}
    assert stage.release() is ReleaseResult.RESTORED


def test_who_is_moved_elsewhere_by_somebody_is_theirs(stage: Stage) -> None:
    """A container runtime, or a person, put it into another cgroup."""
    stage.apply()
    stage.fake.move(600, HOME)

    assert fate(stage) is Fate.CHANGED
    assert isinstance(stage.step(WEIGHT), Refusal)


def test_a_changed_value_is_somebody_elses(stage: Stage) -> None:
    """We do not fight; the leaf goes, and their value with it."""
    leaf = leaf_of(stage.apply())
    (stage.fake.dir_of(leaf) / "cpu.max").write_text("90000 100000\n")

    assert fate(stage) is Fate.CHANGED


def test_what_is_not_to_be_had_is_said(stage: Stage) -> None:
    """I/O weights and memory limits stay where the process came from."""
    action = stage.apply(Limit(cpu_weight=20, io_weight=20, memory_high_bytes=1 << 28))

    assert isinstance(action, Action)
    assert action.limit == WEIGHT
    assert [note.partition(" ")[0] for note in action.notes] == ["io_weight=20", "memory_high"]
