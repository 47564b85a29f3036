"""What was learned of which programs follow which, as one value: it is read once at a start and written now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.store.database import Database


class Foresights:
    """One value of bytes; what it says is the classifier's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, habits: bytes) -> None:
        """Keep it in the place of the one before."""
        self._database.write(
            "INSERT INTO foresight (id, habits) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET habits = excluded.habits", (habits,)
        )

    def load(self) -> bytes | None:
        """The one that was kept last; None if there is none."""
        rows = self._database.rows("SELECT habits FROM foresight WHERE id = 1")
        return rows[0][0] if rows else None
