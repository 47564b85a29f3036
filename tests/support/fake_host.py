"""A host of files: /proc, /sys, /run and cgroups in a directory, and the system calls that go with them.

Everything that was not arranged raises.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from brainkernel.act.host import Host
from brainkernel.act.scheduling import Scheduling
from brainkernel.model import CLOCK_TICK_NS, ProcessKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOOT_ID = "11111111-2222-3333-4444-555555555555"
_LEAF_FILES = {"cpu.weight": "100", "cpu.idle": "0", "cpu.max": "max 100000"}


class FakeScheduler:
    """How each thread is scheduled. A `Scheduler`."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.values: dict[int, Scheduling] = {}
        self.autogroups: dict[int, int] = {}  # session -> nice
        self.deaf: Callable[[str], None] = lambda what: None  # raises OSError to play a kernel that refuses

    def read(self, tid: int) -> Scheduling | None:
        self.deaf("read of a thread")
        return self.values.get(tid)

    def write(self, tid: int, wanted: Scheduling) -> bool:
        self.deaf("write to a thread")
        if tid not in self.values:
            return False
        self.values[tid] = wanted
        return True

    def write_autogroup(self, file: Path, nice: int) -> bool:
        self.deaf("write to an autogroup")
        if not file.exists():
            return True
        name = file.read_text().split()[0]
        self.autogroups[int(name.rpartition("-")[2])] = nice
        for other in (self._host.root / "proc").glob("*/autogroup"):
            if other.read_text().split()[0] == name:
                other.write_text(f"{name} nice {nice}\n")
        return True


class FakeCgroups:
    """What the kernel does when somebody writes cgroupfs. A `CgroupWriter`."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.deaf: Callable[[str], None] = lambda what: None  # raises OSError to play a kernel that refuses

    def write(self, file: Path, text: str) -> None:
        self.deaf(f"write {file.name}")
        if file.name == "cgroup.procs":
            if int(text) not in self._host.cgroup_of:
                raise ProcessLookupError
            self._host.move(int(text), f"/{file.parent.relative_to(self._host.root / 'cgroup')}".replace("/.", "/"))
        elif file.name == "cgroup.subtree_control":
            assert text in ("+cpu", "-cpu"), f"only the cpu controller is ours to switch, not {text}"
            file.write_text(f"{file.read_text().replace('cpu', '')} {text.replace('+cpu', 'cpu').replace('-cpu', '')}".strip() + "\n")
        else:
            assert file.exists(), f"the kernel has no {file}"
            file.write_text(f"{text}\n")
            if (file.name, text) == ("cpu.idle", "1"):
                (file.parent / "cpu.weight").write_text("0\n")
            if (file.name, text) == ("cpu.idle", "0") and (file.parent / "cpu.weight").read_text() == "0\n":
                (file.parent / "cpu.weight").write_text("100\n")

    def make(self, directory: Path) -> None:
        self.deaf("make a cgroup")
        path = f"/{directory.relative_to(self._host.root / 'cgroup')}"
        if directory.exists():
            return
        self._host.make_cgroup(path)
        if "cpu" in (directory.parent / "cgroup.subtree_control").read_text().split():
            for name, text in _LEAF_FILES.items():
                (directory / name).write_text(f"{text}\n")

    def remove(self, directory: Path) -> bool:
        self.deaf("remove a cgroup")
        if not directory.exists():
            return True
        if (directory / "cgroup.procs").read_text() or any(entry.is_dir() for entry in directory.iterdir()):
            return False
        shutil.rmtree(directory)
        return True


class FakeHost:
    """The files of /proc, /sys and /run that the code reads, in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.scheduler = FakeScheduler(self)
        self.cgroups = FakeCgroups(self)
        self.host = Host(
            proc=root / "proc",
            cgroup=root / "cgroup",
            sys=root / "sys",
            run=root / "run",
            open_pidfd=self._open_pidfd,
            scheduler=self.scheduler,
            cgroups=self.cgroups,
        )
        self._pipes: dict[int, int] = {}  # pid -> write end: closed when the process ends
        self.cgroup_of: dict[int, str] = {}
        self.hybrid_mounts("cgroup2")
        write_file(root / "proc/self/cgroup", "0::/system.slice/brainkernel.service\n")
        self.boot(BOOT_ID)
        write_file(root / "cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
        write_file(root / "cgroup/cgroup.subtree_control", "memory pids\n")
        write_file(root / "cgroup/cgroup.procs", "")
        write_file(root / "proc/sys/kernel/sched_autogroup_enabled", "1\n")
        (root / "run/systemd/system").mkdir(parents=True)
        self.start_ticks = 100

    def boot(self, boot_id: str) -> None:
        write_file(self.root / "proc/sys/kernel/random/boot_id", f"{boot_id}\n")

    def hybrid_mounts(self, kind: str) -> None:
        text = f"30 24 0:26 / {self.root}/cgroup rw,nosuid - {kind} cgroup rw\n"
        write_file(self.root / "proc/self/mountinfo", f"24 1 8:1 / / rw - ext4 /dev/sda1 rw\n{text}")

    def spawn(
        self,
        tgid: int,
        cgroup: str,
        *,
        exe: str = "/usr/bin/hog",
        ppid: int = 1,
        session: int = 1,
        tty: int = 0,
        argv: str = "",
        flags: int = 0,
        scheduled: Scheduling | None = None,
    ) -> ProcessKey:
        """Start a process in a cgroup that exists; it inherits how its parent is scheduled, unless that is said."""
        assert tgid not in self.cgroup_of, f"pid {tgid} is in use"
        assert self.dir_of(cgroup).is_dir(), f"no cgroup {cgroup}"
        self.start_ticks += 1
        directory = self.root / "proc" / str(tgid)
        fields = ["S", ppid, tgid, session, tty, -1, flags, *[0] * 12, self.start_ticks, 0, 0]
        stat = f"{tgid} ({exe.rpartition('/')[2][:15]}) {' '.join(map(str, fields))}\n"
        write_file(directory / "stat", stat)
        self.scheduler.values[tgid] = scheduled or self.scheduler.values.get(ppid, Scheduling())
        write_file(directory / "task" / str(tgid) / "stat", stat)
        write_file(directory / "autogroup", f"/autogroup-{session} nice {self.scheduler.autogroups.setdefault(session, 0)}\n")
        write_file(directory / "cmdline", argv or f"{exe}\0")
        if exe.startswith("/"):
            (directory / "exe").symlink_to(exe)
        self.move(tgid, cgroup)
        return ProcessKey(tgid, self.start_ticks * CLOCK_TICK_NS)

    def add_thread(self, tgid: int, tid: int) -> None:
        """Start a thread; it inherits how its process's first one is scheduled."""
        self.start_ticks += 1
        fields = ["S", 1, tgid, 1, 0, -1, 0, *[0] * 12, self.start_ticks, 0, 0]
        write_file(self.root / "proc" / str(tgid) / "task" / str(tid) / "stat", f"{tid} (worker) {' '.join(map(str, fields))}\n")
        self.scheduler.values[tid] = self.scheduler.values[tgid]

    def move(self, tgid: int, cgroup: str) -> None:
        self.cgroup_of[tgid] = cgroup
        write_file(self.root / "proc" / str(tgid) / "cgroup", f"0::{cgroup}\n")
        self.write_procs()

    def reparent(self, tgid: int, ppid: int) -> None:
        """Give a process another parent, as the kernel does when the old one ends."""
        for stat in (self.root / "proc" / str(tgid) / "stat", self.root / "proc" / str(tgid) / "task" / str(tgid) / "stat"):
            head, _, tail = stat.read_text().rpartition(")")
            state, _, *rest = tail.split()
            stat.write_text(f"{head}) {state} {ppid} {' '.join(rest)}\n")

    def end(self, tgid: int) -> None:
        """End a process."""
        del self.cgroup_of[tgid]
        for task in (self.root / "proc" / str(tgid) / "task").iterdir():
            del self.scheduler.values[int(task.name)]
        shutil.rmtree(self.root / "proc" / str(tgid))
        if (pipe := self._pipes.pop(tgid, None)) is not None:
            os.close(pipe)
        self.write_procs()

    def write_procs(self) -> None:
        for procs in (self.root / "cgroup").rglob("cgroup.procs"):
            path = f"/{procs.parent.relative_to(self.root / 'cgroup')}"
            procs.write_text("".join(f"{tgid}\n" for tgid, where in self.cgroup_of.items() if where == path))

    def dir_of(self, cgroup: str) -> Path:
        return self.root / "cgroup" / cgroup.lstrip("/")

    def make_cgroup(self, path: str, kind: str = "domain") -> None:
        write_file(self.dir_of(path) / "cgroup.procs", "")
        write_file(self.dir_of(path) / "cgroup.type", f"{kind}\n")
        write_file(self.dir_of(path) / "cgroup.subtree_control", "\n")

    def cpu_files(self, cgroup: str) -> dict[str, str]:
        directory = self.dir_of(cgroup)
        return {file.name: file.read_text().strip() for file in sorted(directory.glob("cpu.*"))}

    @property
    def descriptors(self) -> set[int]:
        """What stands for the kernel's side of open pidfds."""
        return set(self._pipes.values())

    def close(self) -> None:
        for pipe in self._pipes.values():
            os.close(pipe)
        self._pipes.clear()

    def _open_pidfd(self, tgid: int) -> int:
        if tgid not in self.cgroup_of:
            raise ProcessLookupError
        reader, writer = os.pipe()  # a pipe reads as "hung up" once its writer is closed, as a pidfd does at the end
        if (old := self._pipes.pop(tgid, None)) is not None:
            os.close(old)
        self._pipes[tgid] = writer
        return reader


def write_file(path: Path, text: str) -> None:
    """Write a file, with the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
