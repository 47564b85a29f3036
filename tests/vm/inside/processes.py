"""What the kernel tells about processes: who runs what where, CPU time, time spent waiting, scheduling."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

PROC = Path("/proc")
NS_PER_S = 1_000_000_000
_LIBC = ctypes.CDLL(None)
_IOPRIO_GET, _WHO_PROCESS = 252, 1  # of x86_64, which the VM is
_OF_THE_KERNEL = 0x00200000  # PF_KTHREAD, among the flags of /proc/PID/stat
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def exe_of(pid: int) -> str | None:
    """The program's file, or None when the process is gone or is the kernel's."""
    try:
        return str((PROC / str(pid) / "exe").readlink())
    except OSError:
        return None


def comm_of(tid: int) -> str:
    """The name of a thread, "" when it is gone."""
    try:
        return (PROC / str(tid) / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cgroup_of(pid: int) -> str:
    """The path below the cgroup root, with its leading slash."""
    return (PROC / str(pid) / "cgroup").read_text().strip().removeprefix("0::")


def is_running(pid: int) -> bool:
    """Whether the process lives (a zombie does not)."""
    try:
        return stat_of(pid)[0] != "Z"
    except FileNotFoundError:
        return False


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from `state` on, which is field 3 of proc(5)."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def cpu_pct_of(target: int | Path, seconds: float) -> float:
    """CPU use of a process, or of a cgroup's directory, over the next seconds; 100 is one CPU."""
    started_s, before_s = time.monotonic(), _cpu_s(target)
    time.sleep(seconds)
    return 100 * (_cpu_s(target) - before_s) / (time.monotonic() - started_s)


def wait_pct_of(pid: int, seconds: float) -> float:
    """How much of the next seconds the process stands in a run queue (its first thread)."""
    started_s, before_s = time.monotonic(), _wait_s(pid)
    time.sleep(seconds)
    return 100 * (_wait_s(pid) - before_s) / (time.monotonic() - started_s)


def scheduling() -> dict[str, str]:
    """Nice value, policy, I/O priority and affinity of every thread, and its autogroup's nice value, by the thread's identity.

    Threads come and go, so compare only what both sides of a comparison have.
    """
    found: dict[str, str] = {}
    for task in PROC.glob("[0-9]*/task/[0-9]*"):
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            status = (task / "status").read_text()
            group = (task.parent.parent / "autogroup").read_text().strip().rpartition(" ")[2]  # kernel threads have none
        except (FileNotFoundError, ProcessLookupError):
            continue
        started, nice, policy = fields[19], fields[16], fields[38]
        cpus = next(line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed:"))
        # A workqueue's rescuer takes over the affinity of each pool that it helps out, and keeps it: worker_attach_to_pool().
        if int(fields[6]) & _OF_THE_KERNEL:
            cpus = "the kernel's"
        found[f"thread {task.name} started {started}"] = (
            f"nice={nice} policy={policy} io={_io_priority(int(task.name))} cpus={cpus} session={group}"
        )
    return found


def _io_priority(tid: int) -> int:
    return int(_LIBC.syscall(_IOPRIO_GET, _WHO_PROCESS, tid))


def _cpu_s(target: int | Path) -> float:
    if isinstance(target, Path):  # usage_usec is there without the cpu controller, too
        return int((target / "cpu.stat").read_text().split()[1]) / 1e6
    fields = stat_of(target)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _wait_s(pid: int) -> float:
    return int((PROC / str(pid) / "schedstat").read_text().split()[1]) / NS_PER_S
