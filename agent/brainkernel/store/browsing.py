"""Decisions found by what was decided and when, for views that page through them. Bounded by what the daemon's loop can spare."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from brainkernel.store.decisions import Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.model import DecisionRecord
    from brainkernel.store.database import Database
    from brainkernel.store.decisions import Decisions

SCANNED_MAX = 500  # rows read for one page: some 10 ms
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which decisions are looked for; "" and 0 let all pass. Times are CLOCK_REALTIME in seconds."""

    before_id: int | None = None
    active_only: bool = False
    from_s: int = 0
    to_s: int = 0
    kind: str = ""
    category: str = ""
    tier: str = ""
    late_ms: float = 0.0
    within_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Page:
    """Some decisions, newest first; `next_before_id` goes on behind them, None: there are no older ones."""

    records: list[DecisionRecord]
    next_before_id: int | None


class Browser:
    """Pages through the decisions of one database."""

    def __init__(self, database: Database, decisions: Decisions) -> None:
        self._database = database
        self._decisions = decisions

    def page(self, wanted: Wanted, limit: int) -> Page:
        """At most `limit` of those that fit; an empty page may have a next one, where few fit."""
        if wanted.active_only:
            records = self._decisions.page(limit, Filter(active_only=True, before_id=wanted.before_id))
            return Page(records, records[-1].decision.id if len(records) == limit else None)
        before_id = wanted.before_id if wanted.before_id is not None else (1 << 62)
        if wanted.to_s:
            before_id = min(before_id, self._first_id_at(wanted.to_s * NS_PER_S))
        found: list[int] = []
        last_id: int | None = None
        scanned = 0
        for decision_id, fits in self._scan(before_id, wanted):
            scanned += 1
            last_id = decision_id
            if fits:
                found.append(decision_id)
            if len(found) == limit:
                break
        more = last_id if len(found) == limit or scanned == SCANNED_MAX else None
        return Page([record for i in found if (record := self._decisions.get(i)) is not None], more)

    def _scan(self, before_id: int, wanted: Wanted) -> Iterator[tuple[int, bool]]:
        inside = wanted.tier or wanted.late_ms > 0 or wanted.within_ms > 0
        columns = "id, time_ns, kind, category" + (", decision" if inside else "")
        rows = self._database.rows(f"SELECT {columns} FROM decisions WHERE id < ? ORDER BY id DESC LIMIT ?", (before_id, SCANNED_MAX))  # noqa: S608 # constants
        for decision_id, time_ns, kind, category, *rest in rows:
            if wanted.from_s and time_ns < wanted.from_s * NS_PER_S:
                return
            fits = wanted.kind in ("", kind) and wanted.category in ("", category)
            yield decision_id, fits and (not rest or _fits_inside(rest[0], wanted))

    # Ids grow with time, so the first one of a time is found by halving.
    def _first_id_at(self, time_ns: int) -> int:
        (low, high), *_ = self._database.rows("SELECT coalesce(min(id), 0), coalesce(max(id), 0) + 1 FROM decisions")
        while low < high:
            middle = (low + high) // 2
            rows = self._database.rows("SELECT time_ns FROM decisions WHERE id >= ? ORDER BY id LIMIT 1", (middle,))
            if rows and rows[0][0] < time_ns:
                low = middle + 1
            else:
                high = middle
        return int(low)


def _fits_inside(data: bytes, wanted: Wanted) -> bool:
    try:
        decision: dict[str, Any] = orjson.loads(data)
        total_ms = max((span["ns"] / 1e6 for span in decision["spans"] if span["stage"] == "total"), default=0.0)
        in_time = wanted.late_ms <= total_ms <= (wanted.within_ms or math.inf)
        return wanted.tier in ("", decision["verdict"]["tier"]) and in_time
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return False
