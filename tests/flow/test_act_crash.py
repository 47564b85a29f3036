"""Killed at every statement: what the ledger holds is enough to bring the host back."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel import act
from brainkernel.act.limiter import release_everything
from brainkernel.act.scheduling import Scheduling
from brainkernel.model import Limit
from support.act_stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

QUOTA = Limit(cpu_quota_pct=20)
WEIGHT = Limit(cpu_weight=20)
IDLE = Limit(cpu_weight=0)
ACT = str(Path(act.__file__).parent)


# A kill may fall between open and `with`: the file is closed by the collector then, which warns.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _without_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    # kill -9 leaves the page cache alone, and some thousand syncs would take minutes; test_ledger.py holds the sync.
    monkeypatch.setattr(os, "fsync", lambda fd: None)


class KilledError(BaseException):
    """kill -9. No handler of the code catches it; blocks that close descriptors run, as the kernel would close them."""


def killed_at(statement: int, work: Callable[[], object]) -> bool:
    """Run `work`, but end it before the given statement of `act` (counted in the order they run). False: it got through."""
    left = statement

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(ACT):
            return None
        if event == "line":
            if left == 0:
                raise KilledError
            left -= 1
        return trace

    def traced() -> bool:
        sys.settrace(trace)
        try:
            work()
        except KilledError:
            return True
        finally:
            sys.settrace(None)
        return False

    # Raised from a trace amid `except`, the handled exception stays that thread's for good (CPython 3.11): any later failure would tell of all of them.
    with ThreadPoolExecutor(1) as killed:
        return killed.submit(traced).result()


@contextmanager
def closing_what_leaks(stage: Stage) -> Iterator[None]:
    """Close what a killed process would have left open, as the kernel does; above all the ledger's lock."""
    before = open_descriptors()
    yield
    gc.collect(0)  # files that nobody holds any more close themselves
    for fd in open_descriptors() - before - stage.fake.descriptors:
        os.close(fd)


def open_descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd") if Path(f"/proc/self/fd/{name}").exists()}  # noqa: PTH208 # names are enough


def recover(stage: Stage) -> None:
    """What ExecStopPost does after a crash."""
    stage.ledger.close()
    release_everything(stage.state_dir, stage.fake.host, managers=stage.managers, patience=stage.patience)
    stage.open()


def assert_untouched(stage: Stage, statement: int) -> None:
    where = f"killed before statement {statement}"
    for unit in stage.systemd.units.values():
        assert unit.limits == unit.configured, where
        assert not unit.active or stage.fake.cpu_files(stage.systemd.path_of(unit)) == {}, where
    assert stage.systemd.dropins() == [], where
    assert stage.ledger.live == {}, where


def at_every_statement(stage: Stage, prepare: Callable[[], object], work: Callable[[], object]) -> int:
    """Kill, recover and compare, until the work gets through; how many statements it had."""
    statement = 0
    while True:
        prepare()
        with closing_what_leaks(stage):
            killed = killed_at(statement, work)
        recover(stage)
        assert_untouched(stage, statement)
        if not killed:
            return statement
        statement += 1


def nothing() -> None:
    """No preparation."""


@pytest.mark.parametrize("late", [0, 2])
def test_apply_killed_anywhere_is_undone(tmp_path: Path, late: int) -> None:
    """Before or after the intent, the write, the read-back: the values are as they were."""
    with Stage(tmp_path) as stage:
        stage.systemd.late = late

        statements = at_every_statement(stage, nothing, lambda: stage.apply(QUOTA))

    assert statements > 200


def test_step_killed_anywhere_is_undone(tmp_path: Path) -> None:
    """Amid a step either value may stand; both are known as ours."""
    with Stage(tmp_path) as stage:
        at_every_statement(stage, lambda: stage.apply(WEIGHT), lambda: stage.step(QUOTA))


def test_release_killed_anywhere_is_finished(tmp_path: Path) -> None:
    """Undo is idempotent: begun once, it is ended by the next."""
    with Stage(tmp_path) as stage:
        at_every_statement(stage, lambda: stage.apply(QUOTA), stage.release)


def test_the_freeing_of_who_lives_on_killed_anywhere_is_finished(tmp_path: Path) -> None:
    """The unit of a limit ended without its processes; whichever scope they are in then, it limits nothing."""
    statement, killed = 0, True
    with Stage(tmp_path) as stage:
        while killed:
            stage.apply(QUOTA, key=stage.hog)
            stage.systemd.stop_main_process("hog.service")
            with closing_what_leaks(stage):
                killed = killed_at(statement, stage.release)
            recover(stage)
            assert_untouched(stage, statement)
            assert stage.fake.cgroup_of[stage.hog.tgid].startswith("/system.slice/brainkernel-freed-"), (
                f"killed before statement {statement}"
            )
            stage.systemd.stop(stage.fake.cgroup_of[stage.hog.tgid].rpartition("/")[2])
            stage.systemd.start("hog.service")
            stage.hog = stage.fake.spawn(1000 + statement, "/system.slice/hog.service")
            statement += 1
    assert statement > 100


def test_apply_to_a_session_killed_anywhere_leaves_no_limit(tmp_path: Path) -> None:
    """The process may stay in its new scope, since there is no way back, but without any limit."""
    statement, killed = 0, True
    with Stage(tmp_path) as stage:
        while killed:
            hog = stage.login(statement)
            with closing_what_leaks(stage):
                killed = killed_at(statement, lambda hog=hog: stage.apply(QUOTA, key=hog))  # type: ignore[misc]
            recover(stage)
            assert_untouched(stage, statement)
            assert {910, 911} <= stage.fake.cgroup_of.keys()
            stage.logout(statement)
            statement += 1


def test_a_limit_on_single_tasks_killed_anywhere_is_undone(tmp_path: Path) -> None:
    """Some threads may have it and some not, and one was born with it: all get back what they had."""
    cron = "/system.slice/cron.service"
    with Stage(tmp_path) as stage:
        stage.systemd.add("cron.service")
        stage.fake.spawn(800, cron, exe="/usr/sbin/cron", session=800)
        hog = stage.fake.spawn(810, cron, exe="/usr/bin/miner", ppid=800, session=810)
        stage.fake.add_thread(810, 811)

        for limits in ((WEIGHT,), (WEIGHT, IDLE)):
            statement, killed = 0, True
            while killed:
                for earlier in limits[:-1]:
                    stage.apply(earlier, key=hog)
                work = partial(stage.step, limits[-1]) if stage.ledger.live else partial(stage.apply, limits[-1], key=hog)
                with closing_what_leaks(stage):
                    killed = killed_at(statement, work)
                stage.fake.spawn(820, cron, ppid=810, session=810)
                recover(stage)
                assert set(stage.fake.scheduler.values.values()) == {Scheduling()}, f"killed before statement {statement}"
                assert set(stage.fake.scheduler.autogroups.values()) == {0}
                assert stage.ledger.live == {}
                stage.fake.end(820)
                statement += 1
            assert statement > 100


def test_a_limit_in_our_own_subtree_killed_anywhere_is_undone(tmp_path: Path) -> None:
    """Whoever was moved is back, and neither a cgroup nor a controller of ours remains."""
    with Stage(tmp_path) as stage:
        shutil.rmtree(tmp_path / "run/systemd")
        stage.fake.make_cgroup("/openrc.batch")
        hog = stage.fake.spawn(600, "/openrc.batch")
        stage.fake.spawn(601, "/openrc.batch", ppid=600)

        statement, killed = 0, True
        while killed:
            with closing_what_leaks(stage):
                killed = killed_at(statement, lambda: stage.apply(QUOTA, key=hog))
            recover(stage)
            assert {stage.fake.cgroup_of[pid] for pid in (600, 601)} == {"/openrc.batch"}, f"killed before statement {statement}"
            assert not stage.fake.dir_of("/brainkernel").exists()
            assert (stage.fake.dir_of("/") / "cgroup.subtree_control").read_text().split() == ["memory", "pids"]
            assert stage.ledger.live == {}
            statement += 1
        assert statement > 100


def test_recovery_killed_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    """ExecStopPost may be killed as well."""
    with Stage(tmp_path) as stage:
        statement, killed = 0, True
        while killed:
            stage.apply(QUOTA)
            stage.ledger.close()
            with closing_what_leaks(stage):
                killed = killed_at(statement, lambda: release_everything(stage.state_dir, stage.fake.host, managers=stage.managers))
            stage.open()
            recover(stage)
            assert_untouched(stage, statement)
            statement += 1
