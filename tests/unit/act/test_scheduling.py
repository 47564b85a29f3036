"""The system calls of single tasks, against this machine's kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.act import autogroup
from brainkernel.act.procfs import read_threads, start_of
from brainkernel.act.scheduling import IDLE_NICE, IO_IDLE, IO_LOWEST, SCHED_IDLE, KernelScheduler, Scheduling, nice_of, scheduling_of
from brainkernel.model import Limit
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
WITH_A_THREAD = (
    "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); print(flush=True); time.sleep(60)"
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the way back from SCHED_IDLE needs CAP_SYS_NICE: run as root")


@contextmanager
def a_process() -> Iterator[int]:
    """A process of two threads in a session of its own."""
    with subprocess.Popen([sys.executable, "-c", WITH_A_THREAD], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


@needs_root
@pytest.mark.parametrize("limit", [Limit(cpu_weight=0), Limit(cpu_weight=20), Limit(cpu_quota_pct=20)], ids=str)
def test_every_thread_takes_the_values_and_gives_them_back(limit: Limit) -> None:
    """What the kernel shows is what was asked for, and afterwards what was there."""
    scheduler, wanted = KernelScheduler(), scheduling_of(limit)
    with a_process() as pid:
        tids = [tid for tid, _ in read_threads(PROC, pid)]
        before = {tid: scheduler.read(tid) for tid in tids}

        assert all(scheduler.write(tid, wanted) for tid in tids)
        assert {scheduler.read(tid) for tid in tids} == {wanted}
        for tid, was in before.items():
            assert was is not None
            assert scheduler.write(tid, was)

        assert {tid: scheduler.read(tid) for tid in tids} == before
        assert len(tids) == 2


def test_a_thread_that_ended_is_neither_read_nor_written() -> None:
    """Its number is nobody's."""
    with subprocess.Popen(["true"]) as process:
        process.wait()

    assert KernelScheduler().read(process.pid) is None
    assert not KernelScheduler().write(process.pid, Scheduling())
    assert read_threads(PROC, process.pid) == ()
    assert start_of(PROC / str(process.pid)) is None


@needs_root
def test_an_autogroup_is_made_nice_and_ordinary_again() -> None:
    """By any of its members; a session of its own is a group of its own."""
    if autogroup.read_autogroup(PROC, os.getpid()) is None:
        pytest.skip("this kernel has no autogroups: build it with CONFIG_SCHED_AUTOGROUP")
    with a_process() as pid:
        group = autogroup.read_autogroup(PROC, pid)
        assert group is not None
        assert autogroup.members_of(PROC, group.name) == (pid,)

        assert KernelScheduler().write_autogroup(PROC / str(pid) / "autogroup", 7)
        found = autogroup.read_autogroup(PROC, pid)

        assert found == (group.name, 7)
    assert autogroup.members_of(PROC, group.name) == ()


@pytest.mark.parametrize(
    ("weight", "nice"),
    [(100, 0), (80, 1), (50, 3), (20, 7), (10, 10), (1, 19), (200, 0)],
)
def test_a_weight_becomes_the_nearest_nice_value(weight: int, nice: int) -> None:
    """By the kernel's own table, where each nice value is a quarter more or less."""
    assert nice_of(Limit(cpu_weight=weight)) == nice


def test_idle_bears_a_mark_that_nobody_else_uses() -> None:
    """Children born under the limit are told by it from those who chose SCHED_IDLE themselves."""
    assert scheduling_of(Limit(cpu_weight=0)) == Scheduling(SCHED_IDLE, IDLE_NICE, IO_IDLE)
    assert scheduling_of(Limit(cpu_weight=20)).io == IO_LOWEST


@given(st.builds(Scheduling, st.integers(0, 7), st.integers(-20, 19), st.integers(0, 3 << 13)))
def test_what_the_ledger_holds_is_read_back(value: Scheduling) -> None:
    """Any value that a thread may have."""
    assert Scheduling.of(str(value)) == value


@given(st.text(max_size=40))
def test_any_other_text_is_nothing(text: str) -> None:
    """A damaged ledger is not written to threads."""
    assert Scheduling.of(text) is None or str(Scheduling.of(text)) == text
