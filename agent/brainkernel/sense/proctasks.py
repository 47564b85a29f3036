"""A snapshot of all processes out of /proc, for hosts without the task iterator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from brainkernel.model import CLOCK_TICK_NS, ProcessKey, TaskSample
from brainkernel.sense.exepath import STAT_STARTTIME, fields_of_stat

if TYPE_CHECKING:
    from pathlib import Path

# Counted from the third field of /proc/PID/stat: proc(5).
_PPID, _FLAGS, _UTIME, _STIME, _CUTIME, _CSTIME, _RSS = 1, 6, 11, 12, 13, 14, 21
_PF_KTHREAD = 0x00200000  # include/linux/sched.h
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def read_tasks(proc: Path) -> list[TaskSample]:
    """One sample per process but kernel threads.

    CPU time is that of all threads in ticks of 10 ms; run delay is that of the leading thread alone, and 0 without
    CONFIG_SCHED_INFO; the cgroup id is 0.
    """
    samples = (_read_task(f"{proc}/{name}") for name in os.listdir(proc) if name.isdecimal())  # noqa: PTH208 # each second
    return [sample for sample in samples if sample is not None]


def _read_task(folder: str) -> TaskSample | None:
    try:
        with open(f"{folder}/stat", "rb") as file:  # noqa: PTH123 # each second and process
            line = file.read()
        uid = os.stat(folder).st_uid  # noqa: PTH116
    except OSError:
        return None
    fields = fields_of_stat(line)
    if int(fields[_FLAGS]) & _PF_KTHREAD:
        return None
    return TaskSample(
        key=ProcessKey(int(line.partition(b" ")[0]), int(fields[STAT_STARTTIME]) * CLOCK_TICK_NS),
        ppid=int(fields[_PPID]),
        uid=uid,
        comm=line[line.index(b"(") + 1 : line.rindex(b")")].decode("utf-8", "surrogateescape"),
        cpu_ns=(int(fields[_UTIME]) + int(fields[_STIME])) * CLOCK_TICK_NS,
        run_delay_ns=_read_run_delay_ns(folder),
        rss_bytes=int(fields[_RSS]) * _PAGE_BYTES,
        reaped_ns=(int(fields[_CUTIME]) + int(fields[_CSTIME])) * CLOCK_TICK_NS,
    )


# Documentation/scheduler/sched-stats.rst: time on the CPU, time waiting for it, number of turns.
def _read_run_delay_ns(folder: str) -> int:
    try:
        with open(f"{folder}/schedstat", "rb") as file:  # noqa: PTH123 # each second and process
            return int(file.read().split()[1])
    except (OSError, IndexError):
        return 0
