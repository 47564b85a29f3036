"""I/O weights and memory.high on a real kernel and systemd, which the tests on one's own machine only have as files."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.limiter import Released
from brainkernel.model import Limit, ReleaseResult, Route

from vm.inside.act import acting
from vm.inside.cgroups import ROOT, cgroup_values, changes
from vm.inside.units import a_unit
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DISK = Path("/sys/block/vda")
SWAP_FILE = Path("/var/tmp/act.swap")
SWAP_MIB = 384
HIGH_MIB = 32
EATER = "data = bytearray(160 << 20)\nwhile True:\n    for at in range(0, len(data), 4096):\n        data[at] = 1\n"


@contextmanager
def a_disk_that_honours_weights() -> Iterator[str]:
    """By bfq where the kernel has it, else by iocost; what it was is put back."""
    scheduler, qos = DISK / "queue/scheduler", ROOT / "io.cost.qos"
    subprocess.run(["modprobe", "-q", "bfq"], check=False)
    before = scheduler.read_text().partition("[")[2].partition("]")[0]
    number = (DISK / "dev").read_text().strip()
    if "bfq" in scheduler.read_text():
        scheduler.write_text("bfq")
        try:
            yield "bfq"
        finally:
            scheduler.write_text(before)
    elif qos.exists():
        qos.write_text(f"{number} enable=1")
        try:
            yield "iocost"
        finally:
            qos.write_text(f"{number} enable=0")
    else:
        pytest.skip("this kernel has neither bfq (modprobe bfq) nor iocost (CONFIG_BLK_CGROUP_IOCOST)")


@contextmanager
def some_swap() -> Iterator[None]:
    SWAP_FILE.touch(mode=0o600)
    output_of("dd", "if=/dev/zero", f"of={SWAP_FILE}", "bs=1M", f"count={SWAP_MIB}", "status=none")
    output_of("mkswap", "-q", str(SWAP_FILE))
    output_of("swapon", str(SWAP_FILE))
    try:
        yield
    finally:
        output_of("swapoff", str(SWAP_FILE))
        SWAP_FILE.unlink()


def test_an_io_weight_stands_where_the_disk_honours_it_and_goes_without_a_trace() -> None:
    """Beside the CPU weight, in one step; where no disk honours it, it is left out and said."""
    wanted = Limit(cpu_weight=20, io_weight=20)
    with a_unit(loops=1) as unit:
        before = cgroup_values()
        with acting() as act:
            action = act.applied(unit.pids[0], wanted)
            assert (action.route, action.limit) == (Route.UNIT, Limit(cpu_weight=20))
            assert "only bfq and iocost heed it" in action.notes[0]
        assert changes(before, cgroup_values()) == {}
        with a_disk_that_honours_weights() as by:
            before = cgroup_values()
            with acting() as act:
                action = act.applied(unit.pids[0], wanted)
                assert (action.limit, action.notes) == (wanted, (f"io_weight=20 is heeded by {by} ({DISK.name})",))
                assert (unit.cgroup / "io.weight").read_text().splitlines()[0] == "default 20"
                assert act.release() is ReleaseResult.RESTORED
            assert changes(before, cgroup_values()) == {}


def test_memory_high_is_an_operators_word_and_ends_when_the_program_waits_for_memory() -> None:
    """Not without swap; with it the limit stands, and the guard by the pressure of memory ends it by itself."""
    wanted = Limit(memory_high_bytes=HIGH_MIB << 20)
    output_of("systemd-run", "--quiet", "--collect", "--unit=act-eater.service", "/usr/bin/python3", "-c", EATER)
    try:
        cgroup = ROOT / "system.slice/act-eater.service"
        wait_until(lambda: int((cgroup / "memory.current").read_text()) > 160 << 20, "a program that has its memory", within_s=60)
        pid = int((cgroup / "cgroup.procs").read_text())
        with acting() as act:
            refused = act.apply(pid, wanted)
            assert "no swap" in str(refused)
            before = cgroup_values()
            with some_swap():
                assert act.applied(pid, wanted).route is Route.UNIT
                assert (cgroup / "memory.high").read_text() == f"{HIGH_MIB << 20}\n"
                ended: Released = act.answer(Released)
                assert (ended.result, ended.why) == (ReleaseResult.RESTORED, "it waits for memory: memory_high is too low for it")
                assert (cgroup / "memory.high").read_text() == "max\n"
                assert changes(before, cgroup_values()) == {}
                output_of("systemctl", "stop", "act-eater.service")
    finally:
        subprocess.run(["systemctl", "stop", "act-eater.service"], check=False)
