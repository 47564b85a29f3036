"""What was learned, by time: read once at a start, so that a restart forgets no person's word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from brainkernel.model import Lesson
from brainkernel.store.codec import UnreadableError, decode, encode, path_of, path_value

if TYPE_CHECKING:
    from brainkernel.store.database import Database

LESSONS_MAX = 8_192


class Lessons:
    """The lessons of this host, oldest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, lesson: Lesson, wall_ns: int) -> None:
        """Keep one lesson, learned at `wall_ns` (CLOCK_REALTIME), in the place of the same one learned before."""
        row = (wall_ns, path_value(lesson.identity.exe), encode(lesson))
        self._database.write("DELETE FROM lessons WHERE exe = ? AND lesson = ?", row[1:])
        self._database.write("INSERT INTO lessons (time_ns, exe, lesson) VALUES (?, ?, ?)", row)

    def since(self, wall_ns: int, limit: int = LESSONS_MAX) -> list[tuple[int, Lesson]]:
        """The newest lessons after `wall_ns` with their times, oldest first. Their program's path is exact."""
        rows = self._database.rows("SELECT time_ns, exe, lesson FROM lessons WHERE time_ns > ? ORDER BY id DESC LIMIT ?", (wall_ns, limit))
        lessons = []
        for time_ns, exe, data in reversed(rows):
            try:
                lesson = decode(data, Lesson)
            except UnreadableError:
                continue
            lessons.append((time_ns, replace(lesson, identity=msgspec.structs.replace(lesson.identity, exe=path_of(exe)))))
        return lessons

    def prune(self) -> None:
        """Forget the oldest beyond the bound."""
        beyond = "SELECT id FROM lessons ORDER BY id DESC LIMIT -1 OFFSET ?"
        self._database.write(f"DELETE FROM lessons WHERE id IN ({beyond})", (LESSONS_MAX,))  # noqa: S608 # a constant
