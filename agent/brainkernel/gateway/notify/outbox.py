"""The outbox: what is to be delivered survives a crash of the gateway, in SQLite in the gateway's own directory."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from brainkernel.link.messages import AlertMessage

FILE_NAME = "outbox.db"
ROWS_MAX = 2_000  # per channel; beyond, messages of one rule become one row with a count
IDS_KEPT = 4_096  # to know a message that the daemon sends again
_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, channel TEXT NOT NULL, rule TEXT NOT NULL, state TEXT NOT NULL,
    severity TEXT NOT NULL, text TEXT NOT NULL, fingerprint TEXT NOT NULL, time_ns INTEGER NOT NULL,
    count INTEGER NOT NULL, taken_ns INTEGER NOT NULL,
    UNIQUE (channel, fingerprint, state)
) STRICT;
CREATE TABLE IF NOT EXISTS seen (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;
"""
# A second message of the same trouble that nobody has read yet adds to the first one's count.
_PUT = """
INSERT INTO outbox (id, channel, rule, state, severity, text, fingerprint, time_ns, count, taken_ns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (channel, fingerprint, state) DO UPDATE SET count = count + excluded.count, text = excluded.text
"""
# What came back before anybody heard that it was over is not over.
_OVERTAKEN = "DELETE FROM outbox WHERE channel = ? AND fingerprint = ? AND state = 'resolved'"


@dataclass(frozen=True, slots=True)
class Item:
    """One row that waits."""

    number: int
    id: str
    rule: str
    state: str
    severity: str
    text: str
    time_ns: int
    count: int
    taken_ns: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch."""

    channels: frozenset[str]
    merged: int


class Outbox:
    """Safe to use from several threads. Open it before privileges are dropped: it holds its files open from then on."""

    def __init__(self, directory: Path | None, say: Callable[[str], None]) -> None:
        """Without a directory, or where it cannot be used, it lives in memory, and that is said."""
        self._lock = threading.Lock()
        self._db = self._opened(directory, say)

    def put(self, messages: Sequence[AlertMessage], now_ns: int) -> Taken:
        """Keep messages durably before this returns; one that came already is not kept again."""
        merged = 0
        with self._lock, self._db:
            for message in messages:
                if not self._db.execute("INSERT OR IGNORE INTO seen (id) VALUES (?)", (message.id,)).rowcount:
                    continue
                before = self._waiting(message.channel)
                fingerprint = message.fingerprint if before < ROWS_MAX else f"more of {message.rule}"
                row = (message.id, message.channel, message.rule, message.state, message.severity, message.text, fingerprint)
                self._db.execute(_PUT, (*row, message.time_ns, max(1, message.count), now_ns))
                merged += self._waiting(message.channel) == before
                if message.state == "firing":
                    self._db.execute(_OVERTAKEN, (message.channel, message.fingerprint))
            self._db.execute("DELETE FROM seen WHERE number <= (SELECT max(number) FROM seen) - ?", (IDS_KEPT,))
        return Taken(frozenset(m.channel for m in messages), merged)

    def waiting(self, channel: str) -> list[Item]:
        """All that waits for one channel, oldest first."""
        columns = "number, id, rule, state, severity, text, time_ns, count, taken_ns"
        with self._lock:
            rows = self._db.execute(f"SELECT {columns} FROM outbox WHERE channel = ? ORDER BY number", (channel,)).fetchall()  # noqa: S608 # ours
        return [Item(*row) for row in rows]

    def remove(self, items: Iterable[Item]) -> None:
        """Forget what was delivered; a row whose count grew since it was read stays, with what is new."""
        with self._lock, self._db:
            for item in items:
                self._db.execute("UPDATE outbox SET count = count - ? WHERE number = ?", (item.count, item.number))
                self._db.execute("DELETE FROM outbox WHERE number = ? AND count <= 0", (item.number,))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _waiting(self, channel: str) -> int:
        return int(self._db.execute("SELECT count(*) FROM outbox WHERE channel = ?", (channel,)).fetchone()[0])

    def _opened(self, directory: Path | None, say: Callable[[str], None]) -> sqlite3.Connection:
        if directory is not None:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                return _prepared(directory / FILE_NAME)
            except (OSError, sqlite3.Error) as error:
                say(f"{directory / FILE_NAME}: {error}; alerts that are not delivered yet are lost when the gateway ends")
        return _prepared(":memory:")


def _prepared(file: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(file, check_same_thread=False, timeout=2)
    # Exclusive and WAL: all files are open from the first write on, and nothing is opened by name later, when this
    # process is nobody and may not enter the directory. It also keeps a second gateway out.
    for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.executescript(_SCHEMA)
    with db:
        db.execute("DELETE FROM seen WHERE number < 0")
    return db
