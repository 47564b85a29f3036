"""What /proc says about the processes we are about to touch: the lock on one, and who lives beside it."""

from __future__ import annotations

import os
import select
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.model import CLOCK_TICK_NS, ProcessKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from brainkernel.act.host import Host

PF_KTHREAD = 0x0020_0000  # include/linux/sched.h; field 9 of /proc/PID/stat
# Of /proc/PID/stat behind "pid (comm) ", proc_pid_stat(5) counts them from 3.
MAX_ARGV_BYTES = 4096
_PPID, _SESSION, _TTY_NR, _FLAGS, _START_TIME = 1, 3, 4, 6, 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One process of a cgroup. `protected` is the reason why it must not be slowed, "" if there is none."""

    key: ProcessKey
    ppid: int
    comm: str
    exe: str = ""  # "" for a kernel thread
    argv: str = ""  # as /proc/PID/cmdline spells it, at most `MAX_ARGV_BYTES` of it
    session: int = 0  # the session leader's pid, 0 for kernel threads
    tty: int = 0  # device number of the controlling terminal, 0: none
    kernel_thread: bool = False
    protected: str = ""

    @property
    def leads_terminal(self) -> bool:
        """Whether a terminal's whole session hangs on this process."""
        return self.tty != 0 and self.session == self.key.tgid


def text_of(path: Path) -> str | None:
    """Read a small file of /proc or /sys; None if what it tells of is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return None


def read_member(proc: Path, tgid: int) -> Member | None:
    """Look at one process; None if it is gone."""
    stat = text_of(proc / str(tgid) / "stat")
    if not stat:
        return None
    # The name may hold anything, a closing parenthesis too: the last one ends it.
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    return Member(
        key=ProcessKey(tgid, int(fields[_START_TIME]) * CLOCK_TICK_NS),
        ppid=int(fields[_PPID]),
        comm=head.partition("(")[2],
        exe=_exe_of(proc, tgid),
        argv=_argv_of(proc, tgid),
        session=int(fields[_SESSION]),
        tty=int(fields[_TTY_NR]),
        kernel_thread=bool(int(fields[_FLAGS]) & PF_KTHREAD),
    )


def _exe_of(proc: Path, tgid: int) -> str:
    try:
        return str((proc / str(tgid) / "exe").readlink())
    except OSError:
        return ""  # a kernel thread, a zombie, or gone: the next look at stat tells


def _argv_of(proc: Path, tgid: int) -> str:
    try:
        with (proc / str(tgid) / "cmdline").open("rb") as file:
            return file.read(MAX_ARGV_BYTES).decode("utf-8", errors="surrogateescape")
    except OSError:
        return ""


def is_same_process(proc: Path, key: ProcessKey) -> bool:
    """Whether the process still exists and its pid was not given to another."""
    member = read_member(proc, key.tgid)
    return member is not None and member.key == key


def read_members(proc: Path, tgids: Iterable[int]) -> tuple[Member, ...]:
    """Look at several processes; those that ended meanwhile are left out."""
    return tuple(member for tgid in tgids if (member := read_member(proc, tgid)) is not None)


def read_threads(proc: Path, tgid: int) -> tuple[tuple[int, int], ...]:
    """The threads of a process, each with its start in clock ticks; none if it is gone."""
    try:
        tids = [int(entry.name) for entry in (proc / str(tgid) / "task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple((tid, start) for tid in tids if (start := start_of(proc / str(tgid) / "task" / str(tid))) is not None)


def start_of(task: Path) -> int | None:
    """When the thread or process at this directory of /proc began, in clock ticks since the boot; None if it is gone."""
    stat = text_of(task / "stat")
    return int(stat.rpartition(")")[2].split()[_START_TIME]) if stat else None


class PidLock:
    """A hold on one process: `holds()` is false from the moment it ended, even if its pid lives on as another's."""

    def __init__(self, pidfd: int) -> None:
        """Take over an open pidfd; `lock_process` makes one safely."""
        self._poll = select.poll()
        self._poll.register(pidfd, select.POLLIN)

    def holds(self) -> bool:
        """Whether the process still runs: a pidfd becomes readable when it ends (pidfd_open(2))."""
        return not self._poll.poll(0)


@contextmanager
def lock_process(host: Host, key: ProcessKey) -> Iterator[PidLock | None]:
    """Hold the process while the block runs; None if it is gone.

    The start time is compared after the pidfd was opened: from then on it is this process or none.
    """
    try:
        pidfd = host.open_pidfd(key.tgid)
    except ProcessLookupError:
        yield None
        return
    try:
        lock = PidLock(pidfd)
        yield lock if is_same_process(host.proc, key) and lock.holds() else None
    finally:
        os.close(pidfd)


def family_of(target: ProcessKey, members: Iterable[Member]) -> tuple[Member, ...]:
    """The target and its descendants among `members`, each after its parent."""
    members = tuple(members)
    children: dict[int, list[Member]] = {}
    for member in members:
        children.setdefault(member.ppid, []).append(member)
    family = [member for member in members if member.key == target]
    for member in family:
        family += [child for child in children.get(member.key.tgid, []) if child not in family]
    return tuple(family)
