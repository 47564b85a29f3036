"""All tasks at once: the kernel's task iterator, decoded, against psutil reading the same from /proc."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.outcome import OURS, Limit, Outcome, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench

_SNAPSHOT = "snapshot"
ROWS = (_SNAPSHOT,)
_TASKS = 2_000
_FIELDS = ("pid", "ppid", "uids", "name", "create_time", "cpu_times", "memory_info")  # run delay and cgroup it does not have


def measure(_wanted: frozenset[str], bench: Bench) -> Iterator[Outcome]:
    """Take both snapshots in turns, in this process, and compare the CPU time."""
    import psutil  # noqa: PLC0415 # the other rows need neither
    from brainkernel.sense.core import CoreLoader  # noqa: PLC0415

    def by_psutil() -> int:
        return sum(1 for _ in psutil.process_iter(_FIELDS))

    with bench.sleepers(_TASKS), CoreLoader() as loader:
        seen = len(loader.tasks())
        by_psutil()  # its first round makes an object per process, which it then keeps
        ours, peer = [], []
        for run in range(bench.runs):
            bench.say(f"snapshot {run + 1} of {bench.runs}")
            ours.append(_cpu_ms(lambda: len(loader.tasks())))
            peer.append(_cpu_ms(by_psutil))
    yield Outcome(
        row=_SNAPSHOT,
        figure=f"CPU of one snapshot of {_TASKS:,} tasks",
        unit="ms",
        ours=Series(OURS, tuple(ours)),
        peers=(Series("psutil", tuple(peer)),),
        limits=(Limit(0.1, "psutil"),),
        notes=(f"{seen} processes were in it",),
    )


def _cpu_ms(take: Callable[[], int]) -> float:
    began = time.thread_time_ns()
    take()
    return (time.thread_time_ns() - began) / 1e6
