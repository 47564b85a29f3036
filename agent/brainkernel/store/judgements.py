"""What was said and measured of decisions: read once at a start, so that figures of quality survive it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import Judgement
from brainkernel.store.codec import UnreadableError, decode, encode

if TYPE_CHECKING:
    from brainkernel.store.database import Database

JUDGEMENTS_MAX = 4_096
_PRUNE_EVERY = 256  # saves


class Judgements:
    """The newest judgements of this host."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._saves = 0

    def save(self, judgement: Judgement) -> None:
        """Keep one, in the place of what the same source said of the same decision before."""
        row = (judgement.time_ns, judgement.decision_id, judgement.source.value, encode(judgement))
        self._database.write("INSERT OR REPLACE INTO judgements (time_ns, decision_id, source, judgement) VALUES (?, ?, ?, ?)", row)
        self._saves += 1
        if self._saves % _PRUNE_EVERY == 0:
            self.prune()

    def all(self) -> list[Judgement]:
        """All that are kept, oldest first; one that cannot be read is left out."""
        rows = self._database.rows("SELECT judgement FROM judgements ORDER BY id DESC LIMIT ?", (JUDGEMENTS_MAX,))
        judgements = []
        for (data,) in reversed(rows):
            try:
                judgements.append(decode(data, Judgement))
            except UnreadableError:
                continue
        return judgements

    def prune(self) -> None:
        """Forget the oldest beyond the bound."""
        beyond = "SELECT id FROM judgements ORDER BY id DESC LIMIT -1 OFFSET ?"
        self._database.write(f"DELETE FROM judgements WHERE id IN ({beyond})", (JUDGEMENTS_MAX,))  # noqa: S608 # a constant
