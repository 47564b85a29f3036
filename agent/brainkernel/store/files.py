"""The database file: opening it, checking it, and moving a damaged one out of the way."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from brainkernel.errors import StoreError
from brainkernel.store.migrations import SCHEMA_VERSION, migrate, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME = "state.db"
ASIDE_KEPT = 3  # damaged files that are kept for a person to look at
# What a file can make SQLite raise: its texts quote what they found, and that may not be UTF-8.
FAILURES = (sqlite3.DatabaseError, UnicodeDecodeError)
_SUFFIXES = ("", "-wal", "-shm")
_PRIMARY_CODE = 0xFF  # the low byte of an extended result code, https://sqlite.org/rescode.html
# The disk's or another process' fault: the file itself may be good, so it stays where it is.
_CIRCUMSTANCES = frozenset({
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_AUTH,
    # A statement that SQLite does not take is a mistake of ours, unless it was taken before: see `judged_at_opening`.
    sqlite3.SQLITE_ERROR,
})  # fmt: skip


def lock_directory(directory: Path) -> int | None:
    """Take the state directory for this process; returns the open descriptor that holds it.

    None when the directory can neither be made nor opened. Raises StoreError when another process has it: two
    writers would each believe in a gate and a ledger of their own.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        msg = f"{directory} is in use by another brainkernel: stop it (systemctl stop brainkernel), or name another --state-dir"
        raise StoreError(msg) from None
    except OSError:
        pass  # a file system without locks (some FUSE): then nobody can hold one
    return descriptor


def open_memory() -> sqlite3.Connection:
    """An empty database of the current schema that lives as long as its connection."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _prepare(connection)
    migrate(connection)
    return connection


def open_file(path: Path) -> sqlite3.Connection:
    """Open, check and migrate the file, made with mode 0600 if absent.

    Raises StoreError for a newer schema, one of `FAILURES` or OSError for all else; `is_damage` tells which.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        with judged_at_opening():
            _make_ready(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_ready(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    # A crash of the host may lose the last seconds, never the file: undo has a ledger of its own.
    connection.execute("PRAGMA synchronous = NORMAL")
    # A checkpoint syncs, which may take longer than a tick: Database runs them in a thread.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {4 << 20}")
    _prepare(connection)
    _check_pages(connection)
    _check_version(connection)
    migrate(connection)
    _check_schema(connection)


@contextmanager
def judged_at_opening() -> Iterator[None]:
    """What is asked of a file at its opening any good file takes: there SQLITE_ERROR ("unsupported file format") is damage, too."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            raise sqlite3.DatabaseError(str(error)) from error
        raise


def _check_pages(connection: sqlite3.Connection) -> None:
    if (problem := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(problem)


# A number that no version has, or a newer version's with the very tables of ours, is damage: a newer brainkernel is refused
# and ends the agent, which a flipped bit must not.
def _check_version(connection: sqlite3.Connection) -> None:
    version = version_of(connection)
    if version < 0 or (version > SCHEMA_VERSION and _has_our_tables(connection)):
        msg = f"its schema version {version} is not that of its tables"
        raise sqlite3.DatabaseError(msg)


# The schema is stored as text, which quick_check does not judge.
def _check_schema(connection: sqlite3.Connection) -> None:
    if not _has_our_tables(connection):
        msg = "its tables are not those of this schema version"
        raise sqlite3.DatabaseError(msg)


def _has_our_tables(connection: sqlite3.Connection) -> bool:
    with closing(open_memory()) as fresh:
        sql = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name"
        return bool(connection.execute(sql).fetchall() == fresh.execute(sql).fetchall())


def _prepare(connection: sqlite3.Connection) -> None:
    # A damaged TEXT is then a strange string, not an exception in the middle of a page of rows.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -1024")  # KiB; the default of 2 MB would be a twentieth of our budget


def is_damage(error: Exception) -> bool:
    """Whether an error of SQLite speaks of the file's content, rather than of the disk or of other processes."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, FAILURES) and (code is None or code & _PRIMARY_CODE not in _CIRCUMSTANCES)


def move_aside(path: Path, wall_ns: int) -> Path:
    """Rename a damaged database and its journals to `state.db.corrupt-TIME`; returns the new path. Raises OSError."""
    stamp = datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}.{number}")
    for suffix in reversed(_SUFFIXES):  # the journals first: a new file must never meet an old journal
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    _forget_oldest(path)
    return aside


def _forget_oldest(path: Path) -> None:
    kept = [f for f in path.parent.glob(f"{path.name}.corrupt-*") if not f.name.endswith(_SUFFIXES[1:])]
    for old in sorted(kept, key=lambda f: f.stat().st_mtime_ns)[:-ASIDE_KEPT]:
        for suffix in _SUFFIXES:
            old.with_name(old.name + suffix).unlink(missing_ok=True)
