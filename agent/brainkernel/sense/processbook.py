"""Who runs what, kept from a stream of forks, execs and exits that says little, and completed from /proc.

For loaders whose records carry neither the file nor the lineage. What /proc no longer tells is taken from the book:
a child runs its parent's program until it execs, and a parent that has ended is still in here.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.model import CLOCK_TICK_NS, Ancestor, Exec, Exit, FileId, Fork, ProcessKey
from brainkernel.sense import exepath, wire
from brainkernel.sense.cgroups import read_cgroup
from brainkernel.sense.marks import marks_of
from brainkernel.sense.snapshot import read_running

if TYPE_CHECKING:
    from pathlib import Path

_PROCESSES_MAX = 16_384
_ARGV_FAULT = int(wire.ExecFlag.ARGV_FAULT)
_COARSE_CLOCK_NS = 20_000_000  # a ctime is taken from the last timer tick: up to 10 ms old where HZ is 100
_PPID = 1  # field 4 of /proc/PID/stat, counted from the third: proc(5)


class _Entry(NamedTuple):
    key: ProcessKey
    ppid: int
    comm: str
    file: FileId | None
    exe: str


class _Now(NamedTuple):
    # What /proc says of a process at this moment.
    start_ns: int
    ppid: int
    tty: int
    comm: str
    exe: str
    file: FileId | None
    unlinked: bool
    argv: tuple[str, ...]
    uid: int
    euid: int


class ProcessBook:
    """Makes events of records that have no start time, no file and no lineage. Bounded: the oldest entry goes first."""

    def __init__(self, proc: Path) -> None:
        """`proc` is the mount point of procfs."""
        self._proc = proc
        self._entries: OrderedDict[int, _Entry] = OrderedDict()

    def prime(self) -> None:
        """Enter what runs already."""
        for event in read_running(self._proc):
            ppid = event.parent.tgid if event.parent else 0
            self._enter(_Entry(event.key, ppid, event.comm, event.file, event.exe))

    def fork_of(self, record: wire.ForkRecord, *, is_gone: bool = False) -> Fork:
        """A child, running its parent's program. Its start is the kernel's, or where /proc no longer says it, now."""
        parent = self._entry_of(record.parent_tgid, record.time_ns)
        start_ns = None if is_gone else exepath.read_start_ns(self._proc, record.tgid)
        key = ProcessKey.at(record.tgid, record.time_ns if start_ns is None else start_ns)
        child = self._entries.get(record.tgid)
        # Already there: its exec was read first, from another CPU's ring; what the child runs is not its parent's.
        if child is None or child.key != key:
            self._enter(_Entry(key, record.parent_tgid, parent.comm, parent.file, parent.exe))
        return Fork(time_ns=record.time_ns, key=key, parent=parent.key)

    def exit_of(self, record: wire.ExitRecord) -> Exit:
        """The end of a process; its entry stays, for those who descend from it."""
        entry = self._entry_of(record.tgid, record.time_ns)
        return Exit(time_ns=record.time_ns, key=entry.key, exit_code=record.exit_code)

    def exec_of(self, record: wire.ExecRecord, *, is_gone: bool = False) -> Exec | None:
        """A program start; None if neither the record nor /proc says which program it was.

        `is_gone`: it is known to have ended. Otherwise read as it is now: of two execs one right after the other both show the second program.
        """
        before = self._entry_of(record.tgid, record.time_ns)
        now = (None if is_gone else _read_now(self._proc, record.tgid)) or (_now_of(record, before) if record.filename else None)
        if now is None:
            return None
        entry = _Entry(ProcessKey.at(record.tgid, now.start_ns), before.ppid or now.ppid, record.comm or now.comm, now.file, now.exe)
        self._enter(entry)
        return self._told(record, now, entry)

    def _told(self, record: wire.ExecRecord, now: _Now, entry: _Entry) -> Exec:
        ancestors = self._ancestors_of(entry, record.time_ns)
        parent = ancestors[0] if ancestors else None
        script = _looks_like_a_script(record.filename, now.exe)
        # execve was given the script's arguments; the interpreter's, as the kernel makes them, are in /proc.
        incomplete = script or record.argv_cut or record.flags & _ARGV_FAULT
        argv = (now.argv or record.argv) if incomplete else (record.argv or now.argv)
        return Exec(
            time_ns=record.time_ns,
            key=entry.key,
            parent=parent.key if parent else None,
            exe=now.exe,
            file=now.file,
            parent_exe=parent.exe if parent else "",
            parent_file=parent.file if parent else None,
            filename=record.filename,
            argv=argv,
            comm=entry.comm,
            uid=now.uid,
            euid=now.euid,
            cwd=exepath.read_cwd(self._proc, entry.key) or "",
            cgroup=read_cgroup(self._proc, record.tgid) or "",
            cgroup_id=record.cgroup_id,
            tty=now.tty,
            loginuid=exepath.read_loginuid(self._proc, record.tgid),
            marks=marks_of(
                exe=now.exe,
                filename=record.filename,
                argv=argv,
                unlinked=now.unlinked,
                memfd=now.exe.startswith("/memfd:"),
                script=script,
                cut=record.argv_cut and argv == record.argv,
                setuid=now.uid != now.euid,
            ),
            ancestors=ancestors,
        )

    def _enter(self, entry: _Entry) -> None:
        self._entries[entry.key.tgid] = entry
        self._entries.move_to_end(entry.key.tgid)
        if len(self._entries) > _PROCESSES_MAX:
            self._entries.popitem(last=False)

    # Somebody of whom no fork was seen: it began before the stream, or its record was lost.
    def _entry_of(self, tgid: int, time_ns: int) -> _Entry:
        entry = self._entries.get(tgid)
        if entry is None:
            now = _read_now(self._proc, tgid)
            if now is None:
                return _Entry(ProcessKey.at(tgid, time_ns), 0, "", None, "")
            entry = _Entry(ProcessKey.at(tgid, now.start_ns), now.ppid, now.comm, now.file, now.exe)
            self._enter(entry)
        return entry

    def _ancestors_of(self, entry: _Entry, time_ns: int) -> tuple[Ancestor, ...]:
        found: list[Ancestor] = []
        seen = {entry.key.tgid}
        ppid = entry.ppid
        while ppid > 0 and ppid not in seen and len(found) < wire.LINEAGE_MAX:
            seen.add(ppid)
            above = self._entry_of(ppid, time_ns)
            found.append(Ancestor(above.key, above.comm, above.file, above.exe))
            ppid = above.ppid
        return tuple(found)


# Without the kernel's word for it: the interpreter that runs is not the file that was started, nor a link to it.
def _looks_like_a_script(filename: str, exe: str) -> bool:
    if not filename:
        return True  # nothing is known that argv[0] could be held against
    return filename.rpartition("/")[2] != exe.rpartition("/")[2] and os.path.realpath(filename) != exe


def _read_now(proc: Path, tgid: int) -> _Now | None:
    # Shortest-lived first: a program that ends at once takes its file and its arguments with it.
    found = exepath.read_exe(proc, tgid)
    raw = _read(f"{proc}/{tgid}/cmdline")
    stat = _read(f"{proc}/{tgid}/stat")
    status = _read(f"{proc}/{tgid}/status")
    if found is None or not stat or not status:
        return None
    fields = exepath.fields_of_stat(stat)
    exe, file = found
    uids = next((line.split() for line in status.splitlines() if line.startswith(b"Uid:")), [b"", b"0", b"0"])
    return _Now(
        start_ns=int(fields[exepath.STAT_STARTTIME]) * CLOCK_TICK_NS,
        ppid=int(fields[_PPID]),
        tty=int(fields[exepath.STAT_TTY_NR]),
        comm=stat.partition(b"(")[2].rpartition(b")")[0].decode("utf-8", "surrogateescape"),
        exe=exe,
        file=exepath.file_id_of(file),
        unlinked=file.st_nlink == 0,
        argv=wire.argv_of(raw or b""),
        uid=int(uids[1]),
        euid=int(uids[2]),
    )


# The process is gone: what its record says, and the file of that name, if it has not changed since. A changed one says
# nothing of what ran, so the start is that of no file, which no gate takes for known.
def _now_of(record: wire.ExecRecord, before: _Entry) -> _Now:
    exe, file = record.filename, None
    if exe.startswith("/"):
        began_wall_ns = time.time_ns() - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - record.time_ns)
        with contextlib.suppress(OSError):
            status = os.stat(exe)  # noqa: PTH116 # in the event path: Path costs 10 us
            if status.st_ctime_ns < began_wall_ns - _COARSE_CLOCK_NS:
                file = exepath.file_id_of(status)
            exe = os.path.realpath(exe)
    return _Now(before.key.start_ns, before.ppid, 0, record.comm, exe, file, False, (), record.uid, record.euid)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as opened:  # noqa: PTH123 # in the event path: Path costs 10 us
            return opened.read()
    except OSError:
        return None
