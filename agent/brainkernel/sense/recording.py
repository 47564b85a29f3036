r"""Events as JSON lines, and a loader that reads them back (`brainkernel record` and `replay`).

One object per line: `kind` (exec, exit or fork), `time_ns`, `tgid`, `start_ns`, `ppid`, `exe`, `argv`, `uid`, `cwd`,
`cgroup`, `parent_exe`, `marks` (of model.Mark); an exit also has `exit_code` and, where the loader saw it, `cpu_ns`, `run_delay_ns` and
`max_rss_bytes`. Only `kind` must be there. Bytes that are not UTF-8 travel as lone surrogates ("\udcff"),
which JSON's \u escapes can hold.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from brainkernel.errors import SenseError, UsageError
from brainkernel.model import Exec, Exit, Fork, Mark, ProcessKey
from brainkernel.sense.loader import Fates, KernelCounters
from brainkernel.sense.marks import marks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from brainkernel.model import Identity, ProcessEvent, TaskSample
    from brainkernel.sense.runqueue import Histogram

_USAGE = ("cpu_ns", "run_delay_ns", "max_rss_bytes")  # of an exit, where the loader saw it
_MARKS = frozenset(mark.value for mark in Mark)
_U32_MAX, _U64_MAX = (1 << 32) - 1, (1 << 64) - 1


def line_of(event: ProcessEvent) -> str | None:
    """One event as a line without its newline; None for what is not recorded (a notice of suppression)."""
    fields = _fields_of(event)
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")) if fields is not None else None


def _fields_of(event: ProcessEvent) -> dict[str, Any] | None:
    if isinstance(event, Exec):
        return {
            "kind": "exec",
            "time_ns": event.time_ns,
            "tgid": event.key.tgid,
            "start_ns": event.key.start_ns,
            "ppid": event.parent.tgid if event.parent else 0,
            "exe": event.exe,
            "argv": list(event.argv),
            "uid": event.uid,
            "cwd": event.cwd,
            "cgroup": event.cgroup,
            "parent_exe": event.parent_exe,
            "marks": sorted(mark.value for mark in event.marks),
        }
    if isinstance(event, Exit):
        fields = {"kind": "exit", "time_ns": event.time_ns, "tgid": event.key.tgid, "start_ns": event.key.start_ns}
        fields["exit_code"] = event.exit_code
        return fields | {name: value for name in _USAGE if (value := getattr(event, name)) is not None}
    if isinstance(event, Fork):
        return {
            "kind": "fork",
            "time_ns": event.time_ns,
            "tgid": event.key.tgid,
            "start_ns": event.key.start_ns,
            "ppid": event.parent.tgid,
        }
    return None


def read_events(lines: Iterable[str], name: str = "-") -> Iterator[ProcessEvent]:
    """The events of a recording, in its order. Raises UsageError with file, line and key on a bad one.

    Where `start_ns` is missing, the last start that the recording gave for that tgid is taken; where `time_ns` is
    missing, the time of the line before.
    """
    reader = _Reader()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield reader.event_of(_object_of(line))
        except ValueError as error:
            msg = f"{name}:{number}: {error}"
            raise UsageError(msg) from None


def _object_of(line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        msg = f"not JSON: {error}"
        raise ValueError(msg) from None
    if not isinstance(fields, dict):
        msg = "not a JSON object"
        raise ValueError(msg)  # noqa: TRY004 # a broken line, not a broken call
    return fields


class _Reader:
    """Remembers what a line may leave out because an earlier one said it."""

    def __init__(self) -> None:
        self._time_ns = 0
        self._starts: dict[int, int] = {}
        self._makers: dict[str, Callable[[dict[str, Any]], ProcessEvent]] = {
            "exec": self._exec_of,
            "exit": self._exit_of,
            "fork": self._fork_of,
        }

    def event_of(self, fields: dict[str, Any]) -> ProcessEvent:
        kind = fields.get("kind")
        make = self._makers.get(kind) if isinstance(kind, str) else None
        if make is None:
            msg = f"kind: must be exec, exit or fork, not {kind!r:.40}"
            raise ValueError(msg)
        self._time_ns = _number(fields, "time_ns", self._time_ns, _U64_MAX)
        return make(fields)

    def _key_of(self, fields: dict[str, Any]) -> ProcessKey:
        tgid = _number(fields, "tgid", 0, _U32_MAX)
        start_ns = _number(fields, "start_ns", self._starts.get(tgid, self._time_ns), _U64_MAX)
        self._starts[tgid] = start_ns
        return ProcessKey.at(tgid, start_ns)

    def _parent_of(self, fields: dict[str, Any]) -> ProcessKey | None:
        ppid = _number(fields, "ppid", 0, _U32_MAX)
        return ProcessKey.at(ppid, self._starts.get(ppid, 0)) if ppid else None

    def _exec_of(self, fields: dict[str, Any]) -> Exec:
        exe = _text(fields, "exe")
        argv = fields.get("argv", [])
        if not isinstance(argv, list) or not all(isinstance(a, str) for a in argv):
            msg = "argv: must be a list of strings"
            raise ValueError(msg)
        uid = _number(fields, "uid", 0, _U32_MAX)
        return Exec(
            time_ns=self._time_ns,
            parent=self._parent_of(fields),
            key=self._key_of(fields),
            exe=exe,
            parent_exe=_text(fields, "parent_exe"),
            argv=tuple(argv),
            comm=exe.rpartition("/")[2][:15],
            uid=uid,
            euid=uid,
            cwd=_text(fields, "cwd"),
            cgroup=_text(fields, "cgroup"),
            marks=_marks(fields) | _marks_of_path(exe),
        )

    def _exit_of(self, fields: dict[str, Any]) -> Exit:
        key = self._key_of(fields)
        self._starts.pop(key.tgid, None)
        used = {name: _number(fields, name, 0, _U64_MAX) for name in _USAGE if name in fields}
        return Exit(time_ns=self._time_ns, key=key, exit_code=_number(fields, "exit_code", 0, _U32_MAX), **used)

    def _fork_of(self, fields: dict[str, Any]) -> Fork:
        parent = self._parent_of(fields)
        return Fork(time_ns=self._time_ns, key=self._key_of(fields), parent=parent or ProcessKey(0, 0))


# Of a recording made by hand, or by an older version: without the name it was started by, argv[0] cannot be held against it.
def _marks_of_path(exe: str) -> frozenset[Mark]:
    return marks_of(exe=exe, filename="", argv=(), unlinked=False, memfd=exe.startswith("/memfd:"), script=True, cut=False, setuid=False)


def _marks(fields: dict[str, Any]) -> frozenset[Mark]:
    value = fields.get("marks", [])
    if not isinstance(value, list) or not all(isinstance(mark, str) and mark in _MARKS for mark in value):
        msg = f"marks: must be a list of {', '.join(sorted(_MARKS))}, not {value!r:.40}"
        raise ValueError(msg)
    return frozenset(map(Mark, value))


def _number(fields: dict[str, Any], name: str, default: int, maximum: int) -> int:
    value = fields.get(name, default)
    if type(value) is not int or not 0 <= value <= maximum:
        msg = f"{name}: must be a whole number from 0 to {maximum}, not {value!r:.40}"
        raise ValueError(msg)
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        msg = f"{name}: must be a string, not {value!r:.40}"
        raise ValueError(msg)  # noqa: TRY004 # a broken line, not a broken call
    return value


class ReplayLoader:
    """See `Loader`. Reads a recording as fast as it is drained; `finished` says when there is no more."""

    name = "replay"
    limits = (
        "a recording has no files, so nothing can be remembered in a kernel",
        "a recording has no samples of CPU time, run delay and memory",
    )

    def __init__(self, source: Path | TextIO) -> None:
        """A file, or a stream such as stdin, which stays open."""
        self._source = source
        self._stream: TextIO | None = None
        self._events: Iterator[ProcessEvent] = iter(())
        self._received = {"exec": 0, "exit": 0, "fork": 0}
        self._ready_fd: int | None = None
        self.finished = False

    def __enter__(self) -> Self:
        if self._stream is None:
            self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Open the file. Raises UsageError if it cannot be read."""
        stream, name = self._source, "-"
        if isinstance(stream, Path):
            name = str(stream)
            try:
                stream = stream.open(encoding="utf-8", errors="surrogateescape")
            except OSError as error:
                msg = f"{name}: cannot be read: {error.strerror}"
                raise UsageError(msg) from None
        self._stream = stream
        self._events = read_events(stream, name)
        self._ready_fd = os.eventfd(1, os.EFD_CLOEXEC)  # readable for good: a recording always has more, until it ends

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._stream is not None and self._stream is not self._source:
            self._stream.close()
        self._stream = None
        if self._ready_fd is not None:
            os.close(self._ready_fd)
            self._ready_fd = None

    def fileno(self) -> int:
        """Readable while there is more."""
        if self._ready_fd is None:
            msg = "replay is not open"
            raise SenseError(msg)
        return self._ready_fd

    def drain(self, limit: int = 512) -> list[ProcessEvent]:
        """The next events of the recording. Raises UsageError at a bad line."""
        events: list[ProcessEvent] = []
        for event in self._events:
            self._received[type(event).__name__.lower()] += 1
            events.append(event)
            if len(events) >= limit:
                return events
        if not self.finished and self._ready_fd is not None:
            os.eventfd_read(self._ready_fd)
        self.finished = True
        return events

    def remember(self, identity: Identity, *, always: bool = False) -> None:
        """Do nothing: a recording is reported whole, the gate in user space decides."""

    def remember_many(self, identities: Iterable[tuple[Identity, bool]]) -> int:
        """Do nothing."""
        del identities
        return 0

    def remember_arguments(self, event: Exec) -> bool:
        """Do nothing."""
        del event
        return False

    def forget(self, identity: Identity) -> None:
        """Do nothing."""

    def exclude(self, tgid: int) -> None:
        """Do nothing: none of our processes is in it."""

    def counters(self) -> KernelCounters:
        """What was read: nothing is lost on the way."""
        exec_, exit_, fork = (Fates(seen=n, submitted=n) for n in self._received.values())
        return KernelCounters(exec=exec_, exit=exit_, fork=fork, received=dict(self._received))

    def run_queue(self) -> Histogram | None:
        """A recording does not have it."""
        return None

    def follow_cgroup(self, cgroup_id: int) -> bool:
        """It cannot."""
        del cgroup_id
        return False

    def unfollow_cgroup(self, cgroup_id: int) -> None:
        """Do nothing."""

    def run_queue_of(self, cgroup_id: int) -> Histogram | None:
        """None is followed."""
        del cgroup_id
        return None

    def tasks(self) -> list[TaskSample] | None:
        """A recording does not have them."""
        return None
