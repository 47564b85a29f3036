"""Who did what and when: a table that the database itself lets nobody change (see the triggers in migrations.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import AuditEntry
from brainkernel.store.codec import UnreadableError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.store.database import Database


class Audit:
    """The audit log. It grows with what people do, some 300 bytes a deed, and is never cut."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: AuditEntry) -> None:
        """Write one deed down."""
        self._database.write("INSERT INTO audit (time_ns, deed, entry) VALUES (?, ?, ?)", (entry.time_ns, entry.deed, encode(entry)))

    def page(self, limit: int) -> list[AuditEntry]:
        """The newest deeds, newest first."""
        return _entries(self._database.rows("SELECT entry FROM audit ORDER BY id DESC LIMIT ?", (limit,)))

    def of(self, deeds: Iterable[str]) -> list[AuditEntry]:
        """All deeds of these names, oldest first."""
        names = tuple(deeds)
        marks = ", ".join("?" * len(names))
        return _entries(self._database.rows(f"SELECT entry FROM audit WHERE deed IN ({marks}) ORDER BY id", names))  # noqa: S608 # marks


def _entries(rows: list[tuple[bytes]]) -> list[AuditEntry]:
    entries = []
    for (data,) in rows:
        try:
            entries.append(decode(data, AuditEntry))
        except UnreadableError:
            continue
    return entries
