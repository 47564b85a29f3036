"""The processes that run already when the agent starts, as if their execs had been seen.

psutil lists them and reads what is the same everywhere; what must agree with the kernel's records to the bit (start
time, file, cgroup) is read here.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from brainkernel.model import Ancestor, Exec, ProcessKey
from brainkernel.sense import exepath
from brainkernel.sense.cgroups import read_cgroup
from brainkernel.sense.marks import marks_of

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.model import FileId

_ANCESTORS_MAX = 7  # as many as an exec record has: LINEAGE_MAX in bpf/event.h
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, OSError)


def read_running(proc: Path) -> list[Exec]:
    """Every process but kernel threads, oldest first, as one Exec each at the time it started.

    A process that ends while it is read is left out. `filename` is not known any more, so it is "".
    """
    found = {process.pid: _read_seen(process, proc) for process in psutil.process_iter()}
    seen = {pid: one for pid, one in found.items() if one is not None}
    return sorted((_exec_of(one, seen) for one in seen.values()), key=lambda e: e.time_ns)


def read_process(proc: Path, key: ProcessKey) -> Exec | None:
    """One running process with its living ancestors; None if it ended, also when its pid is another's by now."""
    seen: dict[int, _Seen] = {}
    pid = key.tgid
    while pid > 0 and pid not in seen and len(seen) <= _ANCESTORS_MAX:
        with contextlib.suppress(psutil.NoSuchProcess):
            if (found := _read_seen(psutil.Process(pid), proc)) is not None:
                seen[pid] = found
        pid = seen[pid].ppid if pid in seen else 0
    target = seen.get(key.tgid)
    return _exec_of(target, seen) if target is not None and target.key == key else None


def _read_seen(process: psutil.Process, proc: Path) -> _Seen | None:
    try:
        return _Seen.read(process, proc)
    except _GONE:
        return None


@dataclass(slots=True)
class _Seen:
    """One process as it was read; the ancestors come when all were."""

    key: ProcessKey
    exe: str
    file: FileId | None
    unlinked: bool
    ppid: int
    argv: tuple[str, ...]
    comm: str
    uid: int
    euid: int
    tty: int
    loginuid: int | None
    cwd: str
    cgroup: str

    @classmethod
    def read(cls, process: psutil.Process, proc: Path) -> _Seen | None:
        """Read it; None for a kernel thread and for one that ended meanwhile."""
        pid = process.pid
        start_ns = exepath.read_start_ns(proc, pid)
        # Without CAP_SYS_PTRACE those of others are hidden; a kernel thread and a zombie have neither file nor argv.
        exe, status = exepath.read_exe(proc, pid) or ("", None)
        argv = tuple(process.cmdline())
        if start_ns is None or not (status or argv):
            return None
        key = ProcessKey.at(pid, start_ns)
        with process.oneshot():
            uids = process.uids()
            seen = cls(
                key=key,
                exe=exe,
                file=exepath.file_id_of(status) if status else None,
                unlinked=status is not None and status.st_nlink == 0,
                ppid=process.ppid(),
                argv=argv,
                comm=exepath.read_comm(proc, pid) or "",
                uid=uids.real,
                euid=uids.effective,
                tty=exepath.read_tty(proc, pid),
                loginuid=exepath.read_loginuid(proc, pid),
                cwd=exepath.read_cwd(proc, key) or "",
                cgroup=read_cgroup(proc, pid) or "",
            )
        return seen if exepath.is_same_process(proc, key) else None


def _exec_of(seen: _Seen, all_seen: dict[int, _Seen]) -> Exec:
    ancestors = _ancestors_of(seen, all_seen)
    parent = ancestors[0] if ancestors else None
    memfd = seen.exe.startswith("/memfd:")
    return Exec(
        time_ns=seen.key.start_ns,
        key=seen.key,
        parent=parent.key if parent else None,
        exe=seen.exe,
        file=seen.file,
        parent_exe=parent.exe if parent else "",
        parent_file=parent.file if parent else None,
        argv=seen.argv,
        comm=seen.comm,
        uid=seen.uid,
        euid=seen.euid,
        cwd=seen.cwd,
        cgroup=seen.cgroup,
        tty=seen.tty,
        loginuid=seen.loginuid,
        # argv may have been overwritten since the start ("sshd: user [priv]"), so it is not held against the file.
        marks=marks_of(
            exe=seen.exe,
            filename="",
            argv=seen.argv,
            unlinked=seen.unlinked,
            memfd=memfd,
            script=True,
            cut=False,
            setuid=seen.uid != seen.euid,
        ),
        ancestors=ancestors,
    )


def _ancestors_of(seen: _Seen, all_seen: dict[int, _Seen]) -> tuple[Ancestor, ...]:
    found: list[Ancestor] = []
    above = all_seen.get(seen.ppid)
    while above is not None and len(found) < _ANCESTORS_MAX:
        found.append(Ancestor(above.key, above.comm, above.file, above.exe))
        above = all_seen.get(above.ppid)
    return tuple(found)
