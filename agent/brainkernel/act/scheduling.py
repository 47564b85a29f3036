"""How the kernel schedules one thread: read and set by system calls."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from brainkernel.act.bus import as_user
from brainkernel.errors import ActError

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.model import Limit

SCHED_OTHER, SCHED_IDLE = 0, 5  # sched(7)
IO_NONE, IO_LOWEST, IO_IDLE = 0, 2 << 13 | 7, 3 << 13 | 7  # ioprio_set(2): class << 13 | level; best effort's lowest level
# SCHED_IDLE ignores nice, but children inherit it: by this unusual value ours are told from who chose SCHED_IDLE itself.
IDLE_NICE = 13
# The kernel's own weights by nice value, 0 to 19 (sched_prio_to_weight in kernel/sched/core.c); 1024 is cpu.weight 100.
_WEIGHT_OF_NICE = (1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15)
_NICE_MAX = 19
_TEXT = re.compile(r"policy=(\d+) nice=(-?\d+) io=(\d+)")

# glibc has no wrapper for it; ioprio_get(2) has the next number everywhere.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282, "armv7l": 314}
_WHO_PROCESS = 1


@dataclass(frozen=True, slots=True)
class Scheduling:
    """One thread's standing with the CPU scheduler and the disks'."""

    policy: int = SCHED_OTHER
    nice: int = 0
    io: int = IO_NONE

    @classmethod
    def of(cls, text: str) -> Scheduling | None:
        """Read what `str` wrote; None for any other text."""
        match = _TEXT.fullmatch(text)
        return cls(*map(int, match.groups())) if match else None

    def __str__(self) -> str:
        """As the ledger has it."""
        return f"policy={self.policy} nice={self.nice} io={self.io}"


class Scheduler(Protocol):
    """The system calls. All raise OSError for anything but a thread that ended."""

    def read(self, tid: int) -> Scheduling | None:
        """None if the thread ended."""
        ...

    def write(self, tid: int, wanted: Scheduling) -> bool:
        """Set all three; False if the thread ended."""
        ...

    def write_autogroup(self, file: Path, nice: int) -> bool:
        """Set the nice value of a whole autogroup by /proc/PID/autogroup; False: not now, try again."""
        ...


class KernelScheduler:
    """The real ones. Another user's threads need CAP_SYS_NICE, and so does the way back from SCHED_IDLE."""

    def read(self, tid: int) -> Scheduling | None:
        """None if the thread ended."""
        try:
            return Scheduling(os.sched_getscheduler(tid), os.getpriority(os.PRIO_PROCESS, tid), read_ioprio(tid))
        except ProcessLookupError:
            return None

    def write(self, tid: int, wanted: Scheduling) -> bool:
        """Set all three; False if the thread ended."""
        try:
            os.sched_setscheduler(tid, wanted.policy, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, tid, wanted.nice)
            _ioprio_call(0, tid, wanted.io)
        except ProcessLookupError:
            return False
        return True

    def write_autogroup(self, file: Path, nice: int) -> bool:
        """As the process's owner, who may. Without CAP_SYS_ADMIN the kernel takes ten a second from the whole host (EAGAIN)."""
        try:
            with as_user(file.stat().st_uid):
                file.write_text(f"{nice}\n")
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return False
            if error.errno not in (errno.ENOENT, errno.ESRCH):
                raise
        return True


def read_ioprio(tid: int) -> int:
    """The I/O priority of a thread, as ioprio_get(2) spells it."""
    return _ioprio_call(1, tid)


def _ioprio_call(offset: int, tid: int, *value: int) -> int:
    number = _IOPRIO_SET.get(platform.machine())
    if number is None:
        msg = f"the system calls of I/O priorities are not known on {platform.machine()}: single tasks are not limited here"
        raise ActError(msg)
    libc = ctypes.CDLL(None, use_errno=True)
    found = int(libc.syscall(number + offset, _WHO_PROCESS, tid, *value))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))  # Python makes it a ProcessLookupError for ESRCH
    return found


def nice_of(limit: Limit) -> int:
    """The nice value whose weight is nearest to a limit's; for a quota, which no single task can have, the highest."""
    if not limit.cpu_weight or limit.cpu_quota_pct is not None:
        return _NICE_MAX
    return min(range(_NICE_MAX + 1), key=lambda nice: abs(_WEIGHT_OF_NICE[nice] - limit.cpu_weight * 1024 / 100))  # type: ignore[operator]


def scheduling_of(limit: Limit) -> Scheduling:
    """What comes nearest to a limit for single tasks: idle and quota are SCHED_IDLE, a weight is a nice value."""
    if not limit.cpu_weight or limit.cpu_quota_pct is not None:
        return Scheduling(SCHED_IDLE, IDLE_NICE, IO_IDLE)
    return Scheduling(SCHED_OTHER, nice_of(limit), IO_LOWEST)
