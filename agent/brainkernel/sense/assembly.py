"""Kernel records to events: paths for file ids and cgroup ids, keys, marks. What repeats is looked up once."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from brainkernel.model import CLOCK_TICK_NS, Ancestor, Exec, Exit, FileId, Fork, Mark, ProcessEvent, ProcessKey
from brainkernel.sense import exepath, wire
from brainkernel.sense.marks import marks_of

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from pathlib import Path

    from brainkernel.sense.cgroups import CgroupPaths
    from brainkernel.sense.exepath import ExePaths

_EXEC = int(wire.Kind.EXEC)
_REMEMBERED = int(wire.ExecFlag.REMEMBERED)
_UNLINKED = int(wire.ExecFlag.UNLINKED)
_MEMFD = int(wire.ExecFlag.MEMFD)
_SCRIPT = int(wire.ExecFlag.SCRIPT)
_OVERLAY_UPPER = int(wire.ExecFlag.OVERLAY_UPPER)
_ARGV_FAULT = int(wire.ExecFlag.ARGV_FAULT)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MINOR_BITS, _MINOR_MASK = 20, 0xFFFFF  # of the kernel's dev_t

_CACHE_MAX = 2048  # siblings share a lineage, runs of one program a file: both come back soon or never
_CGROUP_AT = wire.CGROUP_AT
_unpack_occasion = struct.Struct("<QQI").unpack_from
_REPEATS_MAX, _REPEAT_BYTES_MAX = 256, 1024  # a loop in a script, a poll each second; more than 1 MB it never takes


def _marks_of(record: wire.ExecRecord, exe: str) -> frozenset[Mark]:
    flags = record.flags
    return marks_of(
        exe=exe,
        filename=record.filename,
        argv=record.argv,
        unlinked=bool(flags & _UNLINKED),
        memfd=bool(flags & _MEMFD),
        script=bool(flags & _SCRIPT),
        cut=record.argv_cut,
        setuid=record.uid != record.euid,
        upper=bool(flags & _OVERLAY_UPPER),
    )


# Whether it is known, and not one that is judged by its arguments: of these the kernel makes a hash where it can (siphash.bpf.h).
def _is_settled(record: wire.ExecRecord) -> bool:
    if not record.flags & _REMEMBERED or record.argv_hash or record.flags & _ARGV_FAULT:
        return False
    return sum(map(len, record.argv)) + len(record.argv) <= wire.ARGV_HASHED_BYTES


class _Lineage(NamedTuple):
    ancestors: tuple[Ancestor, ...]
    complete: bool
    learned: int  # ExePaths.learned when it was made


class EventAssembly:
    """Turns the records of one loader into events."""

    def __init__(self, proc: Path, exe_paths: ExePaths, cgroup_paths: CgroupPaths) -> None:
        """`proc` is the mount point of procfs."""
        self._proc = proc
        self._exe_paths = exe_paths
        self._cgroup_paths = cgroup_paths
        self._files: dict[bytes, FileId | None] = {}
        self._lineages: dict[bytes, _Lineage] = {}
        self._repeats: dict[bytes, Exec] = {}
        self._repeats_learned = 0  # ExePaths.learned when they were made
        self.received: dict[type[wire.Record], int] = {wire.ExecRecord: 0, wire.ExitRecord: 0, wire.ForkRecord: 0}
        self.undecodable = 0

    def events_of(self, batch: Sequence[bytes]) -> list[ProcessEvent]:
        """Complete a batch of records as they lay in the ring, and count them; what is no record is left out."""
        if self._repeats_learned != self._exe_paths.learned:  # one of them may lack a path that is known by now
            self._repeats.clear()
            self._repeats_learned = self._exe_paths.learned
        events: list[ProcessEvent] = []
        ended: set[tuple[int, int]] | None = None
        for data in batch:
            if (repeated := self._repeats.get(data[_CGROUP_AT:])) is not None:
                time_ns, start_ns, tgid = _unpack_occasion(data)
                key = ProcessKey(tgid, start_ns - start_ns % CLOCK_TICK_NS)
                events.append(replace(repeated, time_ns=time_ns, key=key))
                self.received[wire.ExecRecord] += 1
                continue
            try:
                record = wire.record_of(data)
            except wire.WireError:
                self.undecodable += 1
                continue
            if ended is None and isinstance(record, wire.ExecRecord) and not _is_settled(record):
                ended = wire.ended_in(batch)
            event = self.event_of(record, ended or ())
            events.append(event)
            self.received[type(record)] += 1
            if isinstance(event, Exec):
                self._keep(data, record, event)
        return events

    def event_of(self, record: wire.Record, ended: Container[tuple[int, int]] = ()) -> ProcessEvent:
        """Complete one record. What /proc can no longer tell stays empty.

        `ended` are the processes whose exit came in the same batch, by tgid and start: they are not asked for.
        """
        if isinstance(record, wire.ExecRecord):
            return self._exec_of(record, is_gone=(record.tgid, record.start_ns) in ended)
        key = ProcessKey(record.tgid, record.start_ns - record.start_ns % CLOCK_TICK_NS)
        if isinstance(record, wire.ExitRecord):
            return Exit(
                time_ns=record.time_ns,
                key=key,
                exit_code=record.exit_code,
                cpu_ns=record.cpu_ns,
                run_delay_ns=record.run_delay_ns,
                max_rss_bytes=record.max_rss_pages * _PAGE_BYTES,
            )
        return Fork(time_ns=record.time_ns, key=key, parent=ProcessKey.at(record.parent_tgid, record.parent_start_ns))

    def _exec_of(self, record: wire.ExecRecord, *, is_gone: bool) -> Exec:
        key = ProcessKey.at(record.tgid, record.start_ns)
        ancestors = self._ancestors_of(record.lineage)
        parent = ancestors[0] if ancestors else None
        file = self._file_of(record.exe)
        flags = record.flags
        filename = record.filename
        # Of a script the kernel itself has put the interpreter's name into argv[0].
        started_as = (record.argv[0] if record.argv else "") if flags & _SCRIPT else filename
        exe = self._exe_paths.of(file, key, started_as, parent.key.tgid if parent else 0)
        # Nobody will think about where such a program runs, nobody can say it of one that has ended, and the look-ups cost
        # more than all the rest.
        unasked = is_gone or _is_settled(record)
        cwd = "" if unasked else exepath.read_cwd(self._proc, key) or ""
        return Exec(
            time_ns=record.time_ns,
            key=key,
            parent=parent.key if parent else None,
            exe=exe,
            file=file,
            parent_exe=parent.exe if parent else "",
            parent_file=parent.file if parent else None,
            filename=filename,
            argv=record.argv,
            comm=record.comm,
            uid=record.uid,
            euid=record.euid,
            cwd=cwd,
            cgroup=self._cgroup_paths.of(record.cgroup_id, 0 if unasked else record.tgid),
            cgroup_id=record.cgroup_id,
            tty=os.makedev(record.tty >> _MINOR_BITS, record.tty & _MINOR_MASK) if record.tty else 0,
            loginuid=None if record.loginuid == wire.NO_LOGINUID else record.loginuid,
            sessionid=None if record.sessionid == wire.NO_SESSIONID else record.sessionid,
            marks=_marks_of(record, exe),
            argv_hash=record.argv_hash,
            ancestors=ancestors,
            remembered=bool(flags & _REMEMBERED),
        )

    # Known programs only: of these nothing is asked but what the record says, so the next one like it is the same event
    # but for its time and its process.
    def _keep(self, data: bytes, record: wire.Record, event: Exec) -> None:
        if not isinstance(record, wire.ExecRecord) or not _is_settled(record) or len(data) > _REPEAT_BYTES_MAX:
            return
        if len(self._repeats) >= _REPEATS_MAX:
            self._repeats.clear()
        self._repeats[data[_CGROUP_AT:]] = event

    def _file_of(self, raw: bytes) -> FileId | None:
        try:
            return self._files[raw]
        except KeyError:
            if len(self._files) >= _CACHE_MAX:
                self._files.clear()
            file = self._files[raw] = wire.file_id_of(raw)
            return file

    def _ancestors_of(self, raw: bytes) -> tuple[Ancestor, ...]:
        found = self._lineages.get(raw)
        # Incomplete: an ancestor's path may have become known since, but only if any did.
        if found is not None and (found.complete or found.learned == self._exe_paths.learned):
            return found.ancestors
        ancestors = tuple(self._ancestor_of(record) for record in wire.ancestors_of(raw))
        complete = all(a.exe or a.file is None for a in ancestors)
        if len(self._lineages) >= _CACHE_MAX:
            self._lineages.clear()
        self._lineages[raw] = _Lineage(ancestors, complete, self._exe_paths.learned)
        return ancestors

    def _ancestor_of(self, record: wire.AncestorRecord) -> Ancestor:
        key = ProcessKey.at(record.tgid, record.start_ns)
        return Ancestor(key, record.comm, record.file, self._exe_paths.of(record.file, key))
