"""What we wrote and how to undo it, on disk before it is written. Release needs nothing but this file.

Not in SQLite, because a limit must be released even when the database is corrupt. One line per record: the CRC-32
of the rest in hex, a space, JSON. A record counts only whole: a torn or damaged line is as if never written.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from brainkernel.errors import ActError
from brainkernel.model import Action, ReleaseResult  # noqa: TC001 # msgspec reads the annotations at run time

if TYPE_CHECKING:
    from pathlib import Path

LEDGER_FILE = "ledger"
LOCK_FILE = "ledger.lock"
COMPACT_AT_BYTES = 1 << 20  # some thousand records; a live ledger needs at most a few dozen
MAX_LEDGER_BYTES = 64 << 20  # ours never comes near; a larger file is not ours to read into memory

_log = logging.getLogger(__name__)


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. `boot_id`: what we set lasts until the reboot only, so records of another boot are void."""

    kind: Literal["intent", "applied", "released"]
    boot_id: str
    action_id: int
    action: Action | None = None  # for intent and applied
    result: ReleaseResult | None = None  # for released


@dataclass(slots=True)
class Entry:
    """One limit that stands, or may stand because we ended between intent and write."""

    records: list[Record]  # the last `applied`, if there is one, and the intents after it

    @property
    def action(self) -> Action:
        """The limit as it was last put down."""
        action = self.records[-1].action
        assert action is not None  # noqa: S101 # `_note` takes no other
        return action

    @property
    def applied(self) -> bool:
        """Whether it was read back; an intent alone may or may not have been written."""
        return self.records[-1].kind == "applied"

    def written(self, name: str) -> set[str]:
        """All values of one property or file that may be ours: a crash amid a step leaves the old or the new one."""
        changes = (change for record in self.records if record.action for change in record.action.changes)
        return {change.after for change in changes if change.name == name}


class Ledger:
    """The open ledger. Holds the lock that keeps a second agent from writing limits at the same time."""

    def __init__(self, directory: Path, boot_id: str) -> None:
        """Open or make it, and lock it. Raises ActError if another agent holds it or it cannot be read."""
        self._directory = directory
        self._boot_id = boot_id
        self.damaged = 0  # records that could not be read
        # The lock has a file of its own, since compaction replaces the ledger.
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_fd = _locked(directory / LOCK_FILE)
        except OSError as error:
            msg = f"the ledger in {directory} cannot be opened: {error}"
            raise ActError(msg) from error
        try:
            self._fd = os.open(directory / LEDGER_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self.live = self._read()
            self.compact()
        except OSError as error:
            os.close(self._lock_fd)
            msg = f"the ledger in {directory} cannot be read: {error}"
            raise ActError(msg) from error

    def intend(self, action: Action) -> None:
        """Put down what is about to be written; on disk when this returns. Raises ActError: then write nothing."""
        try:
            self._append(Record(kind="intent", boot_id=self._boot_id, action_id=action.id, action=action), sync=True)
        except (OSError, msgspec.MsgspecError, UnicodeError) as error:
            msg = f"no new limits: the ledger in {self._directory} cannot be written: {error}"
            raise ActError(msg) from error

    # The other two are not synced: a crash of ours leaves them in the page cache, and a crash of the kernel
    # ends the boot, and with it all that they speak of.
    def applied(self, action: Action) -> None:
        """Put down what was read back. May fail (full disk): the intent alone is enough to undo."""
        self._append_or_warn(Record(kind="applied", boot_id=self._boot_id, action_id=action.id, action=action))
        self.compact()

    def released(self, action_id: int, result: ReleaseResult) -> None:
        """Put down that a limit ended. May fail: to undo it once more does no harm."""
        self._append_or_warn(Record(kind="released", boot_id=self._boot_id, action_id=action_id, result=result))
        self.compact()

    def close(self) -> None:
        """Give up the lock."""
        os.close(self._fd)
        os.close(self._lock_fd)

    def compact(self) -> None:
        """Drop what is done with: all of it once nothing stands, else only when the file has grown. May fail: it stays large then."""
        try:
            size = os.fstat(self._fd).st_size
            if not self.live and size:
                os.ftruncate(self._fd, 0)  # works on a full disk too, where a new file would not
            elif size > COMPACT_AT_BYTES:
                self._rewrite()
        except OSError as error:
            _log.warning("the ledger stays large: %s", error)

    def _rewrite(self) -> None:
        temporary = self._directory / f"{LEDGER_FILE}.new"
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            for entry in self.live.values():
                _write_all(fd, b"".join(map(_line_of, entry.records)))
            os.fsync(fd)
            temporary.rename(self._directory / LEDGER_FILE)
        except OSError:
            os.close(fd)
            temporary.unlink(missing_ok=True)
            raise
        os.close(self._fd)
        self._fd = fd
        _sync_directory(self._directory)

    def _append_or_warn(self, record: Record) -> None:
        try:
            self._append(record, sync=False)
        except (OSError, msgspec.MsgspecError, UnicodeError) as error:
            _note(self.live, record)
            _log.warning("the ledger in %s cannot be written: %s", self._directory, error)

    def _append(self, record: Record, *, sync: bool) -> None:
        line = _line_of(record)
        size = os.fstat(self._fd).st_size
        try:
            _write_all(self._fd, line)
            if sync:
                os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, size)  # no half a record before the next one
            raise
        _note(self.live, record)

    def _read(self) -> dict[int, Entry]:
        size = os.fstat(self._fd).st_size
        if size > MAX_LEDGER_BYTES:
            msg = f"{size} bytes, which is more than we ever write; look at it, then remove it"
            raise OSError(msg)
        data = os.pread(self._fd, size, 0)
        if data and not data.endswith(b"\n"):
            # A torn last record: cut it off, or the next one would be glued to it.
            data = data[: data.rfind(b"\n") + 1]
            os.ftruncate(self._fd, len(data))
            self.damaged += 1
        live: dict[int, Entry] = {}
        for line in data.split(b"\n")[:-1]:
            record = _record_of(line)
            if record is None:
                self.damaged += 1
            elif record.boot_id == self._boot_id:
                _note(live, record)
        if self.damaged:
            _log.warning("%d records of the ledger in %s were damaged and are ignored", self.damaged, self._directory)
        return live


def _note(live: dict[int, Entry], record: Record) -> None:
    if record.kind == "released":
        live.pop(record.action_id, None)
    elif record.action is not None:
        entry = live.setdefault(record.action_id, Entry([]))
        if record.kind == "applied":
            entry.records.clear()
        entry.records.append(record)


def _line_of(record: Record) -> bytes:
    body = msgspec.json.encode(record)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _record_of(line: bytes) -> Record | None:
    crc, _, body = line.partition(b" ")
    try:
        if int(crc, 16) != zlib.crc32(body):
            return None
        return msgspec.json.decode(body, type=Record)
    except (ValueError, msgspec.MsgspecError):
        return None


def _write_all(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    if written != len(data):
        msg = "no space left for a whole record"
        raise OSError(errno.ENOSPC, msg)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _locked(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", errors="replace").strip()
        os.close(fd)
        msg = f"another brainkernel (pid {holder or 'unknown'}) holds {path}; stop it, or ask it: brainkernel release --all"
        raise ActError(msg) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
