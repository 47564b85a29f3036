"""Reading the state database beside a running daemon: without its lock, and without writing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from brainkernel.errors import StoreError
from brainkernel.model import Decision, Judgement
from brainkernel.store.codec import UnreadableError, decode
from brainkernel.store.files import FILE_NAME
from brainkernel.store.migrations import SCHEMA_VERSION, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T")


def read_decisions(state_dir: Path, since_ns: int) -> Iterator[Decision]:
    """The decisions after `since_ns` (CLOCK_REALTIME), oldest first; rows that cannot be read are left out.

    Raises StoreError if there is no database or it is of another version.
    """
    return _read(state_dir, "SELECT decision FROM decisions WHERE time_ns > ? ORDER BY id", since_ns, Decision)


def read_judgements(state_dir: Path, since_ns: int) -> Iterator[Judgement]:
    """What was said and measured after `since_ns` (CLOCK_REALTIME). Raises StoreError as `read_decisions` does."""
    return _read(state_dir, "SELECT judgement FROM judgements WHERE time_ns > ? ORDER BY id", since_ns, Judgement)


def _read(state_dir: Path, sql: str, since_ns: int, schema: type[T]) -> Iterator[T]:
    path = state_dir / FILE_NAME
    if not path.exists():
        msg = f"{path}: no such file; the agent keeps its decisions there, --state-dir names another directory"
        raise StoreError(msg)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if (version := version_of(connection)) != SCHEMA_VERSION:
                msg = f"{path} has schema version {version}, this brainkernel reads version {SCHEMA_VERSION}"
                raise StoreError(msg)
            for (data,) in connection.execute(sql, (since_ns,)):
                try:
                    yield decode(data, schema)
                except UnreadableError:
                    continue
    except sqlite3.Error as error:
        msg = f"{path} cannot be read: {error}"
        raise StoreError(msg) from None
