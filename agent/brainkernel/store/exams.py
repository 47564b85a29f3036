"""How each language model did in its exam: what the daemon believes of a model, whatever a gateway says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import ExamResult
from brainkernel.store.codec import UnreadableError, decode, encode

if TYPE_CHECKING:
    from brainkernel.store.database import Database

_SAVE = """
    INSERT INTO exams (backend, model, prompt_version, time_ns, result) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (backend, model, prompt_version) DO UPDATE SET time_ns = excluded.time_ns, result = excluded.result
"""


class Exams:
    """The latest result of each backend, model and prompt version."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, result: ExamResult) -> None:
        """Keep a result in the place of an earlier one of the same model and prompt."""
        self._database.write(_SAVE, (result.backend, result.model, result.prompt_version, result.time_ns, encode(result)))

    def all(self) -> list[ExamResult]:
        """Every result that can be read, oldest first. A damaged one counts as none: that model has not passed."""
        results = []
        for (data,) in self._database.rows("SELECT result FROM exams ORDER BY time_ns"):
            try:
                results.append(decode(data, ExamResult))
            except UnreadableError:
                continue
        return results
