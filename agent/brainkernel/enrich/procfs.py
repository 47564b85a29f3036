"""What /proc says of one process. Gone, unreadable or another process by now: None, decided in `read_text`.

A pid can be used again between two reads. `key_of` read after everything else tells whether all of it was
about the process that was meant.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.model import CLOCK_TICK_NS, ProcessKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READ_BYTES = 65_536  # of any one file: cgroup and stat are far below, and a hostile cmdline is cut
_UNSET = 4_294_967_295  # (unsigned)-1 in loginuid and sessionid: never set


@dataclass(frozen=True, slots=True)
class ProcStat:
    """The fields of /proc/PID/stat (proc(5)) that tell where a process belongs."""

    key: ProcessKey
    comm: str
    ppid: int
    tty: int  # device number in the encoding of stat(2), 0: none


class Delays(NamedTuple):
    """What a process waited for since it began; None: the kernel does not count it."""

    run_ns: int | None = None
    disk_ns: int | None = None


NO_DELAYS = Delays()


class ProcFs:
    """Reads one proc file system. No method raises for a process that is gone."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    def path(self, pid: int, name: str) -> str:
        """Where a file of a process is."""
        return f"{self._root}/{pid}/{name}"

    def read_text(self, pid: int, name: str) -> str | None:
        """Read the beginning of one file of a process; None if it cannot be had."""
        try:
            fd = os.open(self.path(pid, name), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return os.read(fd, _READ_BYTES).decode(errors="surrogateescape")
        except OSError:  # ESRCH: it died between open and read
            return None
        finally:
            os.close(fd)

    def read_stat(self, pid: int) -> ProcStat | None:
        """Read and parse /proc/PID/stat."""
        text = self.read_text(pid, "stat")
        return None if text is None else stat_of(pid, text)

    def read_key(self, pid: int) -> ProcessKey | None:
        """Read which process has this pid now."""
        stat = self.read_stat(pid)
        return None if stat is None else stat.key

    def read_exe(self, pid: int) -> str | None:
        """Read the path of the program file; None for kernel threads and for the dead."""
        try:
            return os.fsdecode(os.readlink(os.fsencode(self.path(pid, "exe"))))  # noqa: PTH115 # bytes that are no UTF-8
        except OSError:
            return None

    def read_cgroup(self, pid: int) -> str:
        """Read the path in the cgroup v2 hierarchy, or in systemd's named one on a v1 host; "" if not known."""
        return cgroup_of(self.read_text(pid, "cgroup") or "")

    def read_delays(self, pid: int) -> Delays:
        """Read the delays of the leading thread: the same figures as taskstats', which has no others and needs CAP_NET_ADMIN.

        `schedstat` is there with CONFIG_SCHED_INFO; waits for disks are counted where the kernel was told `delayacct`
        (kernel/delayacct.c), and 0 else.
        """
        return delays_of(self.read_text(pid, "schedstat") or "", self.read_text(pid, "stat") or "")

    def read_audit_session(self, pid: int) -> str:
        """Read the audit session, which pam_systemd takes as the logind session's id when it is set; else ""."""
        text = (self.read_text(pid, "sessionid") or "").strip()
        return text if text.isdecimal() and int(text) != _UNSET else ""


def read_open_files(fd_directory: str, most: int) -> Iterator[tuple[str, str]]:
    """Read the first entries of a /proc/PID/fd: number and what is open there; none if the process is gone.

    Not listed as a whole: half a million descriptors, which systemd lets any service open, take a second.
    """
    with suppress(OSError), os.scandir(fd_directory) as entries:
        for entry in islice(entries, most):
            with suppress(OSError):  # closed meanwhile
                yield entry.name, os.readlink(entry.path)  # noqa: PTH115 # on the event path


def stat_of(pid: int, text: str) -> ProcStat | None:
    """Parse /proc/PID/stat; comm may hold spaces and parentheses, so it ends at the last ")"."""
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    try:
        return ProcStat(
            key=ProcessKey(pid, int(fields[19]) * CLOCK_TICK_NS),
            comm=head.partition("(")[2],
            ppid=int(fields[1]),
            tty=int(fields[4]) & 0xFFFFFFFF,
        )
    except (IndexError, ValueError):
        return None


def delays_of(schedstat: str, stat: str) -> Delays:
    """Parse /proc/PID/schedstat ("cpu_ns run_delay_ns timeslices") and the 42nd field of stat, in clock ticks."""
    waited, fields = schedstat.split(), stat.rpartition(")")[2].split()
    run_ns = int(waited[1]) if len(waited) > 1 and waited[1].isdecimal() else None
    ticks = fields[39] if len(fields) > 39 else ""  # noqa: PLR2004 # the 42nd, of which pid and comm are cut off
    return Delays(run_ns, int(ticks) * CLOCK_TICK_NS if ticks.isdecimal() and int(ticks) else None)


def cgroup_of(text: str) -> str:
    """Find the path in the text of /proc/PID/cgroup (cgroups(7): "id:controllers:path" lines)."""
    named = ""
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers and path != "/":
            return path
        if controllers == "name=systemd":
            named = path
    return named
