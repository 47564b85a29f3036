"""What can be found out about a suspect, in a budget of 20 ms, without ever failing it."""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from brainkernel.enrich.dpkg import DpkgDatabase
from brainkernel.enrich.images import Images
from brainkernel.enrich.marks import DELETED_SUFFIX, marks_of_path
from brainkernel.enrich.packages import Checksums, file_id_of, package_of
from brainkernel.enrich.procfs import NO_DELAYS, ProcFs
from brainkernel.enrich.rpm import RpmDatabase
from brainkernel.enrich.script import script_of
from brainkernel.enrich.session import session_of_cgroup, tty_name_of
from brainkernel.enrich.sockets import NONE, Sockets
from brainkernel.enrich.units import UnitFiles, place_of
from brainkernel.model import Evidence, Exec, FileId, Mark, Package, PackageState, Suspect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.clock import Clock
    from brainkernel.enrich.packages import Owner, PackageDatabase

T = TypeVar("T")
INDEX_FILE_NAME = "packages.index"
_CACHE_ENTRIES = 1024
_PACKAGED_DIRS = ("/usr/", "/bin/", "/sbin/", "/lib/", "/etc/", "/opt/", "/var/lib/")


class _Ownership(NamedTuple):
    package: Package | None
    unowned: bool
    sha256: str = ""


_NOT_KNOWN = _Ownership(None, unowned=False)


class Enricher:
    """Adds evidence to suspects. Every source may be missing, and every process may be dead or replaced by now.

    Nothing here starts a program, asks a bus or waits: package index and large checksums are brought up to date by
    threads, and until then their answer is "not known". `prepare` builds the package index where there is none yet.
    """

    def __init__(
        self,
        *,
        proc_root: Path,
        fs_root: Path,
        clock: Clock,
        packages: tuple[PackageDatabase, ...],
        checksums: Checksums | None = None,
    ) -> None:
        self._proc = ProcFs(proc_root)
        self._fs_root = str(fs_root).rstrip("/")
        self._packages = packages
        self._checksums = checksums or Checksums()
        self._units = UnitFiles(fs_root, clock)
        self._images = Images(fs_root)
        self._sockets = Sockets(clock)
        self._clock = clock
        self._owners: OrderedDict[tuple[str, FileId | None], _Ownership] = OrderedDict()

    @classmethod
    def of_host(cls, state_dir: Path, clock: Clock, *, proc_root: Path, fs_root: Path) -> Enricher:
        """Make one for a host whose root directory is `fs_root`, with the index file in `state_dir`."""
        dpkg = DpkgDatabase(fs_root / "var/lib/dpkg", state_dir / INDEX_FILE_NAME, clock)
        rpm = RpmDatabase(fs_root)
        packages = tuple(database for database in (dpkg, rpm) if database.present)
        return cls(proc_root=proc_root, fs_root=fs_root, clock=clock, packages=packages)

    def prepare(self) -> None:
        """Bring the package index up to date in this thread: up to a second or two the first time, else a stat.

        Raises StoreError if the index cannot be written; everything but packages works without it.
        """
        for database in self._packages:
            database.refresh()

    def close(self) -> None:
        """Wait for what is under way and let go of files."""
        for database in self._packages:
            database.close()

    def enrich(self, suspect: Suspect, started: Exec | None = None) -> Suspect:
        """Find out what can be found out. Evidence that the suspect already carries stays; never raises.

        `started` is the event that made it one, if there was one: it knows the terminal and the marks even when the
        process is already dead.
        """
        program, before = suspect.program, suspect.evidence
        pid = suspect.key.tgid
        alive = self._proc.read_stat(pid)
        if alive is not None and alive.key != suspect.key:
            alive = None
        cgroup = program.cgroup or (self._proc.read_cgroup(pid) if alive else "")
        place = place_of(cgroup)
        told = str(started.sessionid) if started is not None and started.sessionid is not None else ""
        session = session_of_cgroup(cgroup) or told or (self._proc.read_audit_session(pid) if alive else "")
        tty = (started.tty if started else 0) or (alive.tty if alive else 0)
        marks = before.marks | marks_of_path(program.exe) | (started.marks if started else frozenset())
        script = script_of(program.exe, program.argv, program.filename)
        own, of_script = self._ownership(suspect, script, place.container, marks, alive=alive is not None)
        connections = self._sockets.of_process(self._proc.path(pid, "fd")) if alive else NONE
        delays = self._proc.read_delays(pid) if alive else NO_DELAYS
        if alive is not None and self._proc.read_key(pid) != suspect.key:
            # Its pid became another's while we read: forget what came from /proc by pid.
            cgroup, session = program.cgroup, session_of_cgroup(program.cgroup) or told
            place, tty = place_of(cgroup), started.tty if started else 0
            connections, delays = NONE, NO_DELAYS
        evidence = Evidence(
            package=own.package or before.package,
            unowned=own.unowned,
            script_package=of_script.package,
            unit=self._units.unit_at(place) or before.unit,
            container=place.container or before.container,
            image=self._images.image_of(place.container) or before.image,
            session=session or before.session,
            tty=tty_name_of(tty) or before.tty,
            script=script or before.script,
            sockets=connections.shown or before.sockets,
            remote_stdio=connections.stdio or before.remote_stdio,
            exe_age_s=self._age_s(suspect.identity.file),
            exe_sha256=own.sha256,
            run_delay_ns=delays.run_ns,
            disk_delay_ns=delays.disk_ns,
            marks=marks,
        )
        return replace(suspect, evidence=evidence)

    def _age_s(self, file: FileId | None) -> int | None:
        return None if file is None else max(0, self._clock.wall_ns() - file.ctime_ns) // 1_000_000_000

    def _ownership(
        self, suspect: Suspect, script: str, container: str, marks: frozenset[Mark], *, alive: bool
    ) -> tuple[_Ownership, _Ownership]:
        # The host's package database says nothing about what is inside a container.
        if container:
            return _NOT_KNOWN, _NOT_KNOWN
        own = self._owner_of_exe(suspect, marks, alive=alive)
        path = _absolute(script, suspect.program.cwd)
        # Elsewhere packages ship no scripts, and a stat in a home may hang on a network mount.
        path = path if path.startswith(_PACKAGED_DIRS) else ""
        of_script = self._owner_of_file(path) if path else _NOT_KNOWN
        return own, of_script

    def _owner_of_exe(self, suspect: Suspect, marks: frozenset[Mark], *, alive: bool) -> _Ownership:
        exe, file = suspect.program.exe, suspect.identity.file
        if Mark.MEMFD in marks:
            return _Ownership(None, unowned=True)
        if not exe.startswith("/"):
            return _NOT_KNOWN
        if exe.endswith(DELETED_SUFFIX) or Mark.DELETED in marks:
            # Replaced by an upgrade, or removed to hide it: the path says who owned it, the file cannot be compared.
            owner, complete = self._look_up(exe.removesuffix(DELETED_SUFFIX))
            return _Ownership(package_of(owner, PackageState.UNCHECKED), unowned=False) if owner else _Ownership(None, complete)
        if file is not None and (cached := self._owners.get((exe, file))) is not None:
            return cached
        # /proc/PID/exe is the file that runs, whatever stands at its path by now.
        sources = ([self._proc.path(suspect.key.tgid, "exe")] if alive else []) + [self._fs_root + exe]
        return self._examined(exe, file, sources)

    def _owner_of_file(self, path: str) -> _Ownership:
        try:
            real = os.path.realpath(self._fs_root + path)
            file = file_id_of(os.stat(real))  # noqa: PTH116 # on the event path
        except (OSError, ValueError):
            return _NOT_KNOWN
        path = real.removeprefix(self._fs_root) if self._fs_root else real
        cached = self._owners.get((path, file))
        return cached if cached is not None else self._examined(path, file, [real])

    def _examined(self, path: str, file: FileId | None, sources: list[str]) -> _Ownership:
        owner, complete = self._look_up(path)
        if owner is None:
            digest = self._with_file(file, sources, lambda fd, here: self._checksums.digest_of(fd, here, "sha256")) or ""
            result, final = _Ownership(None, unowned=complete, sha256=digest), complete and bool(digest)
        else:
            state = self._with_file(file, sources, lambda fd, here: self._checksums.state_of(fd, here, owner)) or PackageState.UNCHECKED
            result, final = _Ownership(package_of(owner, state), unowned=False), complete and state is not PackageState.UNCHECKED
        if final and file is not None:
            self._owners[path, file] = result
            if len(self._owners) > _CACHE_ENTRIES:
                self._owners.popitem(last=False)
        return result

    def _look_up(self, path: str) -> tuple[Owner | None, bool]:
        complete = bool(self._packages)
        for database in self._packages:
            if owner := database.owner_of(path):
                return owner, database.complete
            complete = complete and database.complete
        return None, complete

    # What `read` finds out about the file, opened at the first source where it still is that file; None if nowhere.
    def _with_file(self, file: FileId | None, sources: list[str], read: Callable[[int, FileId], T]) -> T | None:
        for source in sources:
            try:
                fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate in the path
                continue
            try:
                here = file_id_of(os.fstat(fd))
                if file is None or here == file:
                    return read(fd, here)
            except OSError:
                continue
            finally:
                os.close(fd)
        return None


def _absolute(script: str, cwd: str) -> str:
    if not script or script.startswith("-"):
        return ""
    if script.startswith("/"):
        return script
    return f"{cwd.rstrip('/')}/{script}" if cwd.startswith("/") else ""
