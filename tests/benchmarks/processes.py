"""What a process costs, from outside it. A process that ended is an error: its figures would be wrong."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

PROC = Path("/proc")
_CPUCLOCK_SCHED = 2  # of a whole process, in ns: clock_getcpuclockid(3)


def cpu_ns(pid: int) -> int:
    """User and system time of all threads of a process, also of those that ended."""
    return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)


def status_bytes(pid: int, field: str) -> int:
    """A size out of /proc/PID/status: VmRSS, VmHWM."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def family_of(pid: int) -> list[int]:
    """A process and all below it."""
    family = [pid]
    for member in family:  # grows while it is walked
        for task in (PROC / str(member) / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended; its children are another's now
                family += [int(child) for child in (task / "children").read_text().split()]
    return family


def switches() -> int:
    """Context switches of the host since boot."""
    line = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("ctxt "))
    return int(line.split()[1])


def forks() -> int:
    """Processes and threads made on the host since boot."""
    line = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("processes "))
    return int(line.split()[1])


def program_ns(pid: int) -> int:
    """How long the BPF programs that a process holds have run; needs kernel.bpf_stats_enabled."""
    found: dict[str, int] = {}  # by program id: it may be held twice
    for link in (PROC / str(pid) / "fd").iterdir():
        if str(link.readlink()) != "anon_inode:bpf-prog":
            continue
        info = (PROC / str(pid) / "fdinfo" / link.name).read_text()
        fields = dict(line.split(":\t", 1) for line in info.splitlines() if ":\t" in line)
        found[fields["prog_id"]] = int(fields["run_time_ns"])
    return sum(found.values())
