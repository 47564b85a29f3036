r"""Events as JSON lines, written by `brainkernel record` and read by `brainkernel replay`.

One object per line: `kind` (exec, exit or fork), `time_ns`, `tgid`, `start_ns`, `ppid`, `exe`, `argv`, `uid`, `cwd`,
`cgroup`, `parent_exe`. Only `kind` must be there. What else the loader saw follows where it is not what one would
assume: of an exec `comm`, `euid`, `filename`, `file` and `parent_file` (`dev`, `ino`, `ctime_ns`), `cgroup_id`, `tty`,
`loginuid`, `sessionid`, `marks`, `ancestors` (`tgid`, `start_ns`, `comm`, `exe`, `file`, nearest first); of an exit `exit_code`,
`cpu_ns`, `run_delay_ns`, `max_rss_bytes`. Bytes that are not UTF-8 travel as lone surrogates ("\udcff"), which JSON's
\u escapes can hold.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from brainkernel.errors import UsageError
from brainkernel.model import Ancestor, Exec, Exit, FileId, Fork, Mark, ProcessKey
from brainkernel.sense.marks import marks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.model import ProcessEvent

_USAGE = ("cpu_ns", "run_delay_ns", "max_rss_bytes")
_MARKS = frozenset(mark.value for mark in Mark)
_COMM_CHARS = 15
_U32_MAX, _U64_MAX = (1 << 32) - 1, (1 << 64) - 1


def line_of(event: ProcessEvent) -> str | None:
    """One event as a line without its newline; None for what is not recorded (a notice of suppression)."""
    fields = _fields_of(event)
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")) if fields is not None else None


def _fields_of(event: ProcessEvent) -> dict[str, Any] | None:
    if isinstance(event, Exec):
        return _fields_of_exec(event)
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


def _fields_of_exec(event: Exec) -> dict[str, Any]:
    optional = {
        "comm": event.comm if event.comm != _comm_of(event.exe) else "",
        "euid": event.euid if event.euid != event.uid else None,
        "filename": event.filename,
        "file": _fields_of_file(event.file),
        "parent_file": _fields_of_file(event.parent_file),
        "cgroup_id": event.cgroup_id or None,
        "tty": event.tty or None,
        "loginuid": event.loginuid,
        "sessionid": event.sessionid,
        "marks": sorted(mark.value for mark in event.marks),
        "ancestors": [_fields_of_ancestor(above) for above in event.ancestors],
    }
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
    } | {name: value for name, value in optional.items() if value not in (None, "", [])}


def _fields_of_file(file: FileId | None) -> dict[str, int] | None:
    return {"dev": file.dev, "ino": file.ino, "ctime_ns": file.ctime_ns} if file is not None else None


def _fields_of_ancestor(above: Ancestor) -> dict[str, Any]:
    fields = {"tgid": above.key.tgid, "start_ns": above.key.start_ns, "comm": above.comm, "exe": above.exe}
    return fields if above.file is None else fields | {"file": _fields_of_file(above.file)}


def _comm_of(exe: str) -> str:
    return exe.rpartition("/")[2][:_COMM_CHARS]


class EventReader:
    """Reads line after line, and remembers what one may leave out because an earlier one said it.

    Where `start_ns` is missing, the last start that the recording gave for that tgid is taken; where `time_ns` is
    missing, the time of the line before.
    """

    def __init__(self, name: str) -> None:
        """`name` is the file's, for error messages."""
        self._name = name
        self._number = 0
        self._time_ns = 0
        self._starts: dict[int, int] = {}
        self._makers: dict[str, Callable[[dict[str, Any]], ProcessEvent]] = {
            "exec": self._exec_of,
            "exit": self._exit_of,
            "fork": self._fork_of,
        }

    def event_of(self, line: str) -> ProcessEvent | None:
        """The event of the next line; None for an empty one. Raises UsageError with file, line and key."""
        self._number += 1
        if not line.strip():
            return None
        try:
            return self._event_of(_object_of(line))
        except ValueError as error:
            msg = f"{self._name}:{self._number}: {error}"
            raise UsageError(msg) from None

    def _event_of(self, fields: dict[str, Any]) -> ProcessEvent:
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
        uid = _number(fields, "uid", 0, _U32_MAX)
        ancestors = tuple(_ancestor_of(above) for above in _list(fields, "ancestors", dict, "objects"))
        return Exec(
            time_ns=self._time_ns,
            parent=ancestors[0].key if ancestors else self._parent_of(fields),
            key=self._key_of(fields),
            exe=exe,
            file=_file(fields, "file"),
            parent_exe=_text(fields, "parent_exe"),
            parent_file=_file(fields, "parent_file"),
            filename=_text(fields, "filename"),
            argv=tuple(_list(fields, "argv", str, "strings")),
            comm=_text(fields, "comm") or _comm_of(exe),
            uid=uid,
            euid=_number(fields, "euid", uid, _U32_MAX),
            cwd=_text(fields, "cwd"),
            cgroup=_text(fields, "cgroup"),
            cgroup_id=_number(fields, "cgroup_id", 0, _U64_MAX),
            tty=_number(fields, "tty", 0, _U64_MAX),
            loginuid=_number(fields, "loginuid", 0, _U32_MAX) if "loginuid" in fields else None,
            sessionid=_number(fields, "sessionid", 0, _U32_MAX) if "sessionid" in fields else None,
            marks=_marks(fields) | _marks_of_path(exe),
            ancestors=ancestors,
        )

    def _exit_of(self, fields: dict[str, Any]) -> Exit:
        key = self._key_of(fields)
        self._starts.pop(key.tgid, None)
        used = {name: _number(fields, name, 0, _U64_MAX) for name in _USAGE if name in fields}
        return Exit(time_ns=self._time_ns, key=key, exit_code=_number(fields, "exit_code", 0, _U32_MAX), **used)

    def _fork_of(self, fields: dict[str, Any]) -> Fork:
        parent = self._parent_of(fields)
        return Fork(time_ns=self._time_ns, key=self._key_of(fields), parent=parent or ProcessKey(0, 0))


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


# Of a recording made by hand: without the name it was started by, argv[0] cannot be held against it.
def _marks_of_path(exe: str) -> frozenset[Mark]:
    return marks_of(exe=exe, filename="", argv=(), unlinked=False, memfd=exe.startswith("/memfd:"), script=True, cut=False, setuid=False)


def _marks(fields: dict[str, Any]) -> frozenset[Mark]:
    marks = _list(fields, "marks", str, "strings")
    if unknown := sorted(set(marks) - _MARKS):
        msg = f"marks: there is no {unknown[0]!r:.40}, only {', '.join(sorted(_MARKS))}"
        raise ValueError(msg)
    return frozenset(map(Mark, marks))


def _file(fields: dict[str, Any], name: str) -> FileId | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        msg = f"{name}: must be an object, not {value!r:.40}"
        raise ValueError(msg)  # noqa: TRY004 # a broken line, not a broken call
    return FileId(*(_number(value, part, 0, _U64_MAX) for part in ("dev", "ino", "ctime_ns")))


def _ancestor_of(fields: dict[str, Any]) -> Ancestor:
    key = ProcessKey.at(_number(fields, "tgid", 0, _U32_MAX), _number(fields, "start_ns", 0, _U64_MAX))
    return Ancestor(key, _text(fields, "comm"), _file(fields, "file"), _text(fields, "exe"))


def _list(fields: dict[str, Any], name: str, kind: type, of_what: str) -> list[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        msg = f"{name}: must be a list of {of_what}"
        raise ValueError(msg)
    return value


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
