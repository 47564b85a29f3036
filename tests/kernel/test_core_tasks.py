from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from brainkernel.sense.runqueue import median_and_p99_us
from brainkernel.sense.snapshot import read_running
from support.kernel import Witness, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.model import TaskSample

PROC = Path("/proc")
# Two threads use CPU and a third one has ended: what a sum over living threads alone would miss.
BUSY = (
    "import threading, time\n"
    "def burn(seconds):\n"
    "    end = time.thread_time() + seconds\n"
    "    while time.thread_time() < end: pass\n"
    "dead = threading.Thread(target=burn, args=(0.3,)); dead.start(); dead.join()\n"
    "threading.Thread(target=burn, args=(0.3,), daemon=True).start()\n"
    "burn(0.3); print('burnt', flush=True); input()\n"
)
BURN = "import time\nend = time.thread_time() + 0.3\nwhile time.thread_time() < end: pass"


def sample_of(witness: Witness, pid: int) -> TaskSample:
    """This process in a fresh snapshot."""
    return next(s for s in witness.loader.tasks() or () if s.key.tgid == pid)


def test_task_snapshot_agrees_with_proc(watch: Callable[..., Witness]) -> None:
    """CPU time over living and dead threads, memory, owner, parent and name are those that /proc shows."""
    witness = watch(run_queue=False)

    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = psutil.Process(process.pid)
        before = sum(seen.cpu_times()[:2])
        sample = sample_of(witness, process.pid)
        after = sum(seen.cpu_times()[:2])
        name, rss, ppid, uid = seen.name(), seen.memory_info().rss, seen.ppid(), seen.uids().real
        process.kill()

    assert before - 0.05 <= sample.cpu_ns / 1e9 <= after + 0.05  # psutil counts in ticks of 10 ms
    assert sample.cpu_ns >= 0.6e9
    assert (sample.comm, sample.ppid, sample.uid) == (name, ppid, uid)
    assert abs(sample.rss_bytes - rss) < 4 << 20  # the kernel's per-CPU parts of the counter: 32 pages each and kind
    assert sample.cgroup_id > 0


def test_task_snapshot_tells_what_a_process_got_done_by_children_that_ended(watch: Callable[..., Witness]) -> None:
    """Theirs, and that of their own children, as soon as they were waited for."""
    witness = watch(run_queue=False)
    grandchild = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}], check=True)"
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {grandchild!r}], check=True)\nprint('done', flush=True); input()"
    )

    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        times = psutil.Process(process.pid).cpu_times()
        sample = sample_of(witness, process.pid)
        process.kill()

    assert sample.reaped_ns >= 0.3e9
    assert abs(sample.reaped_ns / 1e9 - times.children_user - times.children_system) < 0.05  # psutil counts in ticks of 10 ms


def test_task_snapshot_lists_each_process_once_with_the_key_of_proc(watch: Callable[..., Witness]) -> None:
    """The running processes of psutil and those of the kernel have the same keys."""
    witness = watch(run_queue=False)

    before = {e.key for e in read_running(PROC)}
    samples = witness.loader.tasks() or []
    after = {e.key for e in read_running(PROC)}

    keys = [s.key for s in samples]
    assert len(keys) == len(set(keys))
    lasting = {k for k in before & after if k.tgid != 1}  # some sandboxes hide their init from iterators
    assert lasting <= set(keys)
    assert os.getpid() in {k.tgid for k in keys}
    assert 2 not in {k.tgid for k in keys}  # kthreadd


def test_task_snapshot_shows_who_waits(watch: Callable[..., Witness]) -> None:
    """Two loops on one CPU: both stand in the run queue, and the host's histogram grows at its slow end."""
    witness = watch()
    cpu = min(os.sched_getaffinity(0))
    pinned = f"import os\nos.sched_setaffinity(0, [{cpu}])\nwhile True: pass"
    before = witness.loader.run_queue()
    assert before is not None

    with (
        subprocess.Popen([sys.executable, "-c", pinned]) as one,
        subprocess.Popen([sys.executable, "-c", pinned]) as other,
    ):
        try:
            wait_until(
                "both of them to wait 50 ms",
                lambda: all(sample_of(witness, p.pid).run_delay_ns > 50_000_000 for p in (one, other)),
            )
            after = witness.loader.run_queue()
        finally:
            one.kill()
            other.kill()

    assert after is not None
    assert median_and_p99_us([late - early for early, late in zip(before, after, strict=True)]) is not None
    assert sum(after[20:]) > sum(before[20:])  # waits of a millisecond and more


def test_loader_leaves_nothing_behind_and_can_be_opened_again(watch: Callable[..., Witness]) -> None:
    """Each close takes all programs, maps and mappings with it."""
    watch().loader.close()
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(3):
        loader = watch().loader
        loader.drain()
        loader.tasks()
        loader.close()
        loader.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before
