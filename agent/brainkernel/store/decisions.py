"""Decisions and what followed from each, newest first for people, bounded for the disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from brainkernel.escape import escaped
from brainkernel.model import (
    Action,
    Category,
    Decision,
    DecisionKind,
    DecisionRecord,
    Feedback,
    Outcome,
    Refusal,
    ReleaseResult,
)
from brainkernel.store.codec import UnreadableError, bounded_argv, decode, encode

if TYPE_CHECKING:
    from collections.abc import Collection

    from brainkernel.model import Suspect
    from brainkernel.store.database import Database

T = TypeVar("T")

_IN_MEMORY_MAX = 500  # decisions, some 2 MB, while the disk is away
_PRUNE_EVERY = 256  # saves
_WORDS_MAX = 32  # of people about one decision
_COLUMNS = "id, decision, action, refusals, outcome, released_ns, release"
_SAVE = """
    INSERT INTO decisions (id, time_ns, tgid, kind, category, exe, comm, decision) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, category = excluded.category, decision = excluded.decision
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which decisions a page shows; a field left alone lets all pass."""

    active_only: bool = False
    kind: DecisionKind | None = None
    category: Category | None = None
    pid: int | None = None
    text: str = ""  # part of the program's path or name
    before_id: int | None = None  # older than this one: the next page


class Decisions:
    """The decisions of this host. A row that cannot be read is left out and counted in `unreadable`."""

    def __init__(self, database: Database, keep: int) -> None:
        self._database = database
        self._keep = keep
        self._last_id = max(0, int(database.rows("SELECT coalesce(max(id), 0) FROM decisions")[0][0]))
        self._saves = 0
        self.unreadable = 0

    def begin_after(self, last_id: int) -> None:
        """Give no id up to `last_id` again: the undo ledger may know limits that a lost database does not."""
        self._last_id = max(self._last_id, last_id)

    def next_id(self) -> int:
        """An id that no decision had."""
        self._last_id += 1
        return self._last_id

    def save(self, decision: Decision) -> None:
        """Keep a decision; saving it again replaces it and leaves what was attached."""
        program = replace(decision.suspect.program, argv=bounded_argv(decision.suspect.program.argv))
        bounded = replace(decision, suspect=replace(decision.suspect, program=program))
        self._last_id = max(self._last_id, decision.id)
        self._database.write(
            _SAVE,
            (
                decision.id,
                decision.time_ns,
                decision.suspect.key.tgid,
                decision.kind.value,
                decision.verdict.category.value,
                _text(program.exe),
                _text(program.comm),
                encode(bounded),
            ),
        )
        self._saves += 1
        if self._saves % _PRUNE_EVERY == 0:
            self.prune()

    def attach_action(self, action: Action) -> None:
        """The decision of this id became a limit."""
        self._database.write(
            "UPDATE decisions SET action = ?, released_ns = NULL, release = NULL WHERE id = ?", (encode(action), action.id)
        )

    def attach_refusals(self, decision_id: int, refusals: tuple[Refusal, ...]) -> None:
        """The limit was refused when it was about to be written."""
        self._database.write("UPDATE decisions SET refusals = ? WHERE id = ?", (encode(refusals), decision_id))

    def attach_outcome(self, outcome: Outcome) -> None:
        """The effect of the limit was measured; the latest measurement stays."""
        self._database.write("UPDATE decisions SET outcome = ? WHERE id = ?", (encode(outcome), outcome.action_id))

    def attach_release(self, decision_id: int, result: ReleaseResult, wall_ns: int) -> None:
        """The limit ended, or could not be ended (FAILED)."""
        self._database.write("UPDATE decisions SET released_ns = ?, release = ? WHERE id = ?", (wall_ns, result.value, decision_id))

    def settle(self, standing: Collection[int], wall_ns: int) -> None:
        """Say of limits that are in no ledger any more that they ended: by a reboot, or by `release --all` without a daemon."""
        for record in self.active():
            if record.decision.id not in standing:
                self.attach_release(record.decision.id, ReleaseResult.GONE, wall_ns)

    def attach_feedback(self, decision_id: int, feedback: Feedback) -> None:
        """A person said something; words about a decision that is gone are dropped."""
        self._database.write(
            "INSERT INTO feedback (decision_id, feedback) SELECT id, ? FROM decisions WHERE id = ?", (encode(feedback), decision_id)
        )
        newest = "SELECT id FROM feedback WHERE decision_id = ?1 ORDER BY id DESC LIMIT ?2"
        self._database.write(
            f"DELETE FROM feedback WHERE decision_id = ?1 AND id NOT IN ({newest})",  # noqa: S608 # constants
            (decision_id, _WORDS_MAX),
        )

    def get(self, decision_id: int) -> DecisionRecord | None:
        """One decision with all that followed; None if there is none of this id (or no longer)."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM decisions WHERE id = ?", (decision_id,))  # noqa: S608 # a constant
        records = self._records(rows)
        if not records:
            return None
        said = self._database.rows("SELECT feedback FROM feedback WHERE decision_id = ? ORDER BY id", (decision_id,))
        return replace(records[0], feedback=tuple(f for (data,) in said if (f := self._decoded(data, Feedback)) is not None))

    def page(self, limit: int, where: Filter | None = None) -> list[DecisionRecord]:
        """The newest `limit` decisions that pass the filter, newest first, without their feedback."""
        where = where or Filter()
        conditions, parameters = _conditions(where)
        # The few rows of one program are found in an index; all else is met soon on the way back from the newest row.
        index = "INDEXED BY decisions_searched" if (where.text or where.pid is not None) and not where.active_only else ""
        found = f"SELECT id FROM decisions {index} WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"  # noqa: S608 # constants
        sql = f"SELECT {_COLUMNS} FROM decisions WHERE id IN ({found}) ORDER BY id DESC"  # noqa: S608 # constants
        return self._records(self._database.rows(sql, (*parameters, limit)))

    def find(self, text: str, limit: int = 50) -> list[DecisionRecord]:
        """The newest decisions about a program, by pid or by part of its path or name."""
        return self.page(limit, Filter(pid=int(text)) if text.isascii() and text.isdecimal() and len(text) < 10 else Filter(text=text))  # noqa: PLR2004 # PID_MAX_LIMIT is 2^22

    def active(self) -> list[DecisionRecord]:
        """The decisions whose limits still stand as far as the store knows, newest first."""
        return self.page(10_000, Filter(active_only=True))

    def was_limited(self, suspect: Suspect) -> bool:
        """Whether a limit on this program was ever written, as far as decisions are kept; scripts are programs of their own."""
        # In a CASE, as AND promises no order, and SQLite takes what is no JSON for an error of the database.
        text = "CAST(decision AS TEXT)"
        script = f"CASE WHEN json_valid({text}) THEN coalesce(json_extract({text}, '$.suspect.evidence.script'), '') END"
        sql = f"SELECT 1 FROM decisions WHERE exe = ? AND action IS NOT NULL AND {script} = ? LIMIT 1"  # noqa: S608 # constants
        return bool(self._database.rows(sql, (_text(suspect.program.exe), _text(suspect.evidence.script))))

    def count(self) -> int:
        """How many decisions are kept."""
        return int(self._database.rows("SELECT count(*) FROM decisions")[0][0])

    def prune(self) -> None:
        """Delete the oldest decisions beyond what is to be kept, but none whose limit stands."""
        keep = min(self._keep, _IN_MEMORY_MAX) if self._database.in_memory_because else self._keep
        # Ids have no gaps but where a database was lost, so they count the rows without reading them.
        self._database.write(
            "DELETE FROM decisions WHERE id <= ? AND (action IS NULL OR release IS NOT NULL AND release != 'failed')",
            (self._last_id - keep,),
        )

    def _records(self, rows: list[tuple[Any, ...]]) -> list[DecisionRecord]:
        records = (self._record(row) for row in rows)
        return [r for r in records if r is not None]

    def _record(self, row: tuple[Any, ...]) -> DecisionRecord | None:
        _, decision, action, refusals, outcome, released_ns, release = row
        read = self._decoded(decision, Decision)
        if read is None:
            return None
        return DecisionRecord(
            decision=read,
            action=None if action is None else self._decoded(action, Action),
            refusals=() if refusals is None else self._decoded(refusals, tuple[Refusal, ...]) or (),
            outcome=None if outcome is None else self._decoded(outcome, Outcome),
            released_ns=released_ns,
            release=ReleaseResult(release) if release in set(ReleaseResult) else None,
        )

    def _decoded(self, data: Any, schema: type[T]) -> T | None:
        try:
            return decode(data, schema)
        except UnreadableError:
            self.unreadable += 1
            return None


def _conditions(where: Filter) -> tuple[list[str], list[Any]]:
    conditions, parameters = ["1"], list[Any]()
    if where.active_only:
        conditions.append("action IS NOT NULL AND (release IS NULL OR release = 'failed')")
    if where.before_id is not None:
        conditions.append("id < ?")
        parameters.append(where.before_id)
    for column, value in (("kind", where.kind), ("category", where.category), ("tgid", where.pid)):
        if value is not None:
            conditions.append(f"{column} = ?")
            parameters.append(value)
    if where.text:
        conditions.append("(instr(exe, ?) OR instr(comm, ?))")
        parameters += [_text(where.text)] * 2
    return conditions, parameters


# Searched and shown by SQL tools, never read back: as `decision` spells it.
def _text(text: str) -> str:
    return escaped(text)
