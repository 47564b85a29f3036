"""What is kept on disk: decisions, outcomes, baselines, cached verdicts. SQLite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.store.audit import Audit
from brainkernel.store.baselines import Baselines, Habit, KnownIdentity
from brainkernel.store.database import Database
from brainkernel.store.decisions import Decisions, Filter
from brainkernel.store.exams import Exams
from brainkernel.store.foresights import Foresights
from brainkernel.store.judgements import Judgements
from brainkernel.store.lessons import Lessons
from brainkernel.store.verdicts import Verdicts
from brainkernel.store.words import KeptWord, Words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.clock import Clock
    from brainkernel.config import Store as StoreConfig

__all__ = [
    "Audit",
    "Baselines",
    "Database",
    "Decisions",
    "Exams",
    "Filter",
    "Foresights",
    "Habit",
    "Judgements",
    "KeptWord",
    "KnownIdentity",
    "Lessons",
    "Store",
    "Verdicts",
    "Words",
    "open_store",
]

_ROWS_PER_TICK = 256  # of each kind
_PRUNE_EVERY_NS = 3_600_000_000_000


@dataclass(slots=True)
class Store:
    """All that is kept, over one database."""

    database: Database
    decisions: Decisions
    baselines: Baselines
    verdicts: Verdicts
    lessons: Lessons
    judgements: Judgements
    exams: Exams
    audit: Audit
    words: Words
    foresights: Foresights
    clock: Clock
    prune_ns: int = 0

    def flush(self) -> None:
        """Once per tick: commit what was written, and once an hour forget what is beyond the bounds."""
        self.baselines.flush(_ROWS_PER_TICK)
        self.verdicts.flush()
        if self.clock.boot_ns() >= self.prune_ns:
            self.prune_ns = self.clock.boot_ns() + _PRUNE_EVERY_NS
            self.decisions.prune()
            self.baselines.prune()
            self.lessons.prune()
            self.judgements.prune()
            self.verdicts.prune()
            self.words.prune()
        self.database.flush()

    def close(self) -> None:
        """Commit and close; the directory is free for another process."""
        self.baselines.flush()
        self.flush()
        self.database.close()


def open_store(state_dir: Path, config: StoreConfig, clock: Clock, report: Callable[[str], None]) -> Store:
    """Open `state.db` in the state directory, made if absent.

    A damaged file is moved aside, an unusable disk is replaced by memory; `report` gets a sentence for people.
    Raises StoreError when another brainkernel has the directory or the schema is newer than ours.
    """
    database = Database(state_dir, clock, report)
    return Store(
        database=database,
        decisions=Decisions(database, config.decisions_max),
        baselines=Baselines(database),
        verdicts=Verdicts(database, clock),
        lessons=Lessons(database),
        judgements=Judgements(database),
        exams=Exams(database),
        audit=Audit(database),
        words=Words(database),
        foresights=Foresights(database),
        clock=clock,
    )
