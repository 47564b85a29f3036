"""What models learn from: words of people, of measurements and of examined language models, each with its program's traits.

The bounds are such that shouting pushes out nobody else's words: what one source says on one occasion is one row, of one
program at most `PER_SUBJECT_MAX`, and beyond the whole the source with the most rows gives up its oldest.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brainkernel.store.database import Database

WORDS_MAX = 4_096  # of each task, some 1.5 MB
PER_SUBJECT_MAX = 8
_PRUNE_EVERY = 256  # saves
_COLUMNS = "id, source, occasion, subject, label, weight, protected, traits"
# Said anew it is new: the row moves to the end.
_SAVE = "INSERT OR REPLACE INTO words (task, source, occasion, subject, label, weight, protected, traits) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_KEEP_NEWEST = """
    DELETE FROM words WHERE id IN
        (SELECT id FROM words WHERE task = ? AND source = ? AND subject = ? ORDER BY id DESC LIMIT -1 OFFSET ?)
"""
_LOUDEST = "SELECT source FROM words WHERE task = ? GROUP BY source ORDER BY count(*) DESC, source LIMIT 1"
_CUT = "DELETE FROM words WHERE id IN (SELECT id FROM words WHERE task = ? AND source = ? ORDER BY id LIMIT ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWord:
    """One row. `id` grows in the order of arrival; 0 before it is kept."""

    id: int = 0
    source: str
    occasion: int  # the decision; where a word is about the program as such, its subject
    subject: int
    label: int
    weight: float
    protected: bool
    traits: Sequence[int]  # each below 2^16


class Words:
    """The words for each task (the model that learns), over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._saves = 0

    def save(self, task: str, word: KeptWord) -> None:
        """Keep one word."""
        row = (task, word.source, word.occasion, word.subject, word.label, word.weight, int(word.protected), _packed(word.traits))
        self._database.write(_SAVE, row)
        self._database.write(_KEEP_NEWEST, (task, word.source, word.subject, PER_SUBJECT_MAX))
        self._saves += 1
        if self._saves % _PRUNE_EVERY == 0:
            self.prune()

    def all(self, task: str) -> list[KeptWord]:
        """All words for a task, oldest first; one that cannot be read is left out."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM words WHERE task = ? ORDER BY id", (task,))  # noqa: S608 # a constant
        return [word for row in rows if (word := _word_of(row)) is not None]

    def count(self, task: str) -> int:
        """How many words there are for a task."""
        return int(self._database.rows("SELECT count(*) FROM words WHERE task = ?", (task,))[0][0])

    def newest(self, task: str) -> int:
        """The id of the newest word for a task; 0 if there is none."""
        return int(self._database.rows("SELECT coalesce(max(id), 0) FROM words WHERE task = ?", (task,))[0][0])

    def prune(self) -> None:
        """Hold the bound of each task: the loudest source gives up its oldest words first."""
        for (task,) in self._database.rows("SELECT DISTINCT task FROM words"):
            while (beyond := self.count(task) - WORDS_MAX) > 0:
                loudest = self._database.rows(_LOUDEST, (task,))[0][0]
                self._database.write(_CUT, (task, loudest, min(beyond, _PRUNE_EVERY)))


# Little-endian on every host, so that a state directory can be taken along.
def _packed(traits: Sequence[int]) -> bytes:
    packed = array("H", traits)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _word_of(row: tuple[Any, ...]) -> KeptWord | None:
    word_id, source, occasion, subject, label, weight, protected, traits = row
    if len(traits) % 2 or not isinstance(source, str):
        return None
    unpacked = array("H", traits)
    if sys.byteorder == "big":
        unpacked.byteswap()
    return KeptWord(
        id=word_id,
        source=source,
        occasion=occasion,
        subject=subject,
        label=label,
        weight=weight,
        protected=bool(protected),
        traits=unpacked,
    )
