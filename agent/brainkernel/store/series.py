"""Figures over time: a row per second, per minute and per hour, each with its retention, in a file of its own.

A row holds all figures of its time, each at the place that the table `names` gives it: one insert a second, however
many figures there are (rollup.py). What is kept is counted in rows and not by age, so that a clock which jumps for a
moment costs no history.

The file is not state.db: a damaged one is deleted and begun anew, what a full disk does not take waits in memory for
`PENDING_MAX` seconds, and nothing else is touched by either. It takes at most `MAX_BYTES`, which SQLite itself holds
it to, and `LOG_BYTES` of write-ahead log.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.escape import escaped
from brainkernel.store.database import checkpoint
from brainkernel.store.files import FAILURES, is_damage, judged_at_opening
from brainkernel.store.rollup import PLAIN, ROLLED, Point, packed, point_of, rolled_up, unpacked

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from brainkernel.clock import Clock

SERIES_FILE_NAME = "series.db"
MAX_BYTES = 64 << 20
LOG_BYTES = 4 << 20
NAMES_MAX = 240  # then a row of a minute still fits into one page
POINTS_MAX = 4_096  # of one answer, all names together: some 200 KB of JSON
CELLS_MAX = 46_080  # read for one answer: some 10 ms of the daemon's loop
PENDING_MAX = 300
FLUSH_EVERY_NS = 10_000_000_000
NS_PER_S = 1_000_000_000
_TEND_EVERY_NS = 600 * NS_PER_S
_RETRY_NS = 60 * NS_PER_S
_VERSION = 1
_PAGE_BYTES = 4096


class Tier(NamedTuple):
    """One resolution: its table, its step, how many rows are kept, and how many floats a figure takes."""

    table: str
    step_s: int
    keep: int
    width: int


SECONDS = Tier("seconds", 1, 7_200, PLAIN)  # 2 hours
MINUTES = Tier("minutes", 60, 10_080, ROLLED)  # 7 days
HOURS = Tier("hours", 3_600, 2_880, ROLLED)  # 120 days
TIERS = (SECONDS, MINUTES, HOURS)
_SCHEMA = (
    "CREATE TABLE names (place INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    *(f"CREATE TABLE {tier.table} (time_s INTEGER PRIMARY KEY, figures BLOB NOT NULL) STRICT" for tier in TIERS),
    f"PRAGMA user_version = {_VERSION}",
)

if TYPE_CHECKING:
    Row = tuple[int, array[float]]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Figures on one grid of time: point n is of `start_s + n * step_s`; None where nothing was measured.

    `start_s` is a CLOCK_REALTIME. Names that are not kept are left out.
    """

    start_s: int
    step_s: int
    series: dict[str, list[Point | None]]


class Series:
    """The time series of this host. No method raises for what the disk does; `report` gets a sentence for people."""

    def __init__(self, directory: Path, clock: Clock, report: Callable[[str], None]) -> None:
        self.path = directory / SERIES_FILE_NAME
        self._clock = clock
        self._report = report
        self._pending: dict[int, dict[str, float]] = {}  # by CLOCK_REALTIME in seconds
        self._places: dict[str, int] = {}
        self._told = False
        self._retry_ns = 0
        self._flush_ns = self._tend_ns = clock.boot_ns()
        self._checkpoint: threading.Thread | None = None
        self._connection = self._open()

    @property
    def usable(self) -> bool:
        """Whether figures reach the disk now."""
        return self._connection is not None

    def append(self, figures: Mapping[str, float]) -> None:
        """Keep the figures of this second; a value that is no finite number is left out."""
        self._pending[self._now_s()] = {name: value for name, value in figures.items() if math.isfinite(value)}
        while len(self._pending) > PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        if self._clock.boot_ns() - self._flush_ns >= FLUSH_EVERY_NS:
            self.flush()

    def flush(self) -> None:
        """Write what waits, roll it up, and now and then forget what is beyond the bounds."""
        self._flush_ns = now_ns = self._clock.boot_ns()
        if self._connection is None and now_ns >= self._retry_ns:
            self._connection = self._open()
        if self._connection is None or not self._pending:
            return
        if now_ns - self._tend_ns >= _TEND_EVERY_NS:
            self._tend_ns = now_ns
            self._attempt(self._prune)
            self._start_checkpoint()
        self._attempt(self._write_pending)

    def names(self) -> list[str]:
        """All figures that were ever kept."""
        return sorted(self._places.keys() | {name for figures in self._pending.values() for name in figures})

    def read(self, names: Sequence[str], from_s: int, to_s: int, step_s: int = 0) -> Excerpt:
        """Figures from `from_s` until before `to_s` (CLOCK_REALTIME), in steps of at least `step_s`; 0: as fine as is answered.

        Bounded by `POINTS_MAX` and `CELLS_MAX`: what is asked for beyond is answered in longer steps, or begins later.
        """
        self.flush()
        known = set(self.names())
        kept = [name for name in dict.fromkeys(names) if name in known]
        to_s = min(to_s, self._now_s() + 1)
        from_s = max(0, min(from_s, to_s - 1))
        rows_max = CELLS_MAX // max(1, len(kept))
        tier = self._tier_for(from_s, to_s, step_s, rows_max)
        from_s = max(from_s, to_s - rows_max * tier.step_s)
        points = max(1, POINTS_MAX // max(1, len(kept)))
        grid_s = tier.step_s * max(1, math.ceil(step_s / tier.step_s), math.ceil((to_s - from_s) / (tier.step_s * points)))
        start_s = from_s - from_s % grid_s
        series: dict[str, list[Point | None]] = {name: [None] * -(-(to_s - start_s) // grid_s) for name in kept}
        tier, places, rows = self._rows(kept, tier, start_s, to_s)
        for cell, group in groupby(rows, key=lambda row: (row[0] - start_s) // grid_s):
            within = [row for _time_s, row in group]
            for name, points_of_name in series.items():
                points_of_name[cell] = point_of(within, places[name], tier.width)
        return Excerpt(start_s, grid_s, series)

    def close(self) -> None:
        """Write what waits, and fold the log into the file."""
        self.flush()
        if self._checkpoint is not None:
            self._checkpoint.join()
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
            self._connection = None

    def _now_s(self) -> int:
        return self._clock.wall_ns() // NS_PER_S

    def _tier_for(self, from_s: int, to_s: int, step_s: int, rows_max: int) -> Tier:
        for tier, coarser in pairwise(TIERS):
            reaches = self._now_s() - from_s <= tier.keep * tier.step_s
            if step_s < coarser.step_s and reaches and (to_s - from_s) // tier.step_s <= rows_max:
                return tier
        return TIERS[-1]

    # Without a file, what waits for it is all there is.
    def _rows(self, names: list[str], tier: Tier, from_s: int, to_s: int) -> tuple[Tier, dict[str, int], list[Row]]:
        rows: list[Row] = []
        if self._connection is None:
            places = {name: place for place, name in enumerate(names)}
            rows = [(time_s, packed(f, places)) for time_s, f in sorted(self._pending.items()) if from_s <= time_s < to_s]
            return SECONDS, places, rows
        places = self._places
        self._attempt(lambda connection: rows.extend(_stored(connection, tier, from_s, to_s)))
        return tier, places, rows

    def _write_pending(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        places = dict(self._places)
        for time_s, figures in self._pending.items():
            _place(connection, figures, places)
            _put(connection, SECONDS, time_s, packed(figures, places))
        for finer, tier in pairwise(TIERS):
            for start_s in {time_s - time_s % tier.step_s for time_s in self._pending}:
                rows = [row for _time_s, row in _stored(connection, finer, start_s, start_s + tier.step_s)]
                _put(connection, tier, start_s, rolled_up(rows, finer.width))
        connection.execute("COMMIT")
        self._places = places
        self._pending.clear()
        self._told = False

    # A row from the future is of a clock that was set back since: it would be the newest for ever.
    def _prune(self, connection: sqlite3.Connection) -> None:
        for tier in TIERS:
            oldest = f"SELECT time_s FROM {tier.table} ORDER BY time_s DESC LIMIT 1 OFFSET ?"  # noqa: S608 # a constant
            sql = f"DELETE FROM {tier.table} WHERE time_s > ? OR time_s <= ({oldest})"  # noqa: S608 # constants
            connection.execute(sql, (self._now_s() + tier.step_s, tier.keep))

    def _attempt(self, work: Callable[[sqlite3.Connection], None]) -> None:
        if self._connection is None:
            return
        try:
            work(self._connection)
        except sqlite3.ProgrammingError:
            raise  # ours
        except FAILURES as error:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = self._open_after(error)

    def _open(self) -> sqlite3.Connection | None:
        try:
            return self._opened()
        except (*FAILURES, OSError) as error:
            return self._open_after(error)

    def _open_after(self, error: Exception) -> sqlite3.Connection | None:
        why = escaped(str(error), 200)
        self._places = {}
        if is_damage(error):
            try:
                for suffix in ("-wal", "-shm", ""):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                connection = self._opened()
            except (*FAILURES, OSError) as another:
                why = escaped(str(another), 200)
            else:
                self._report(f"{self.path} is damaged ({why}): figures over time begin anew, nothing else is lost")
                return connection
        self._retry_ns = self._clock.boot_ns() + _RETRY_NS
        if not self._told:
            self._told = True
            self._report(
                f"{self.path} cannot be used ({why}): only the last {PENDING_MAX} s of figures over time are kept, nothing else is "
                f"touched; it is tried again every {_RETRY_NS // NS_PER_S} s"
            )
        return None

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=0.2)
        try:
            self.path.chmod(0o600)
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # a checkpoint syncs: it has a thread of its own
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            connection.execute(f"PRAGMA max_page_count = {MAX_BYTES // _PAGE_BYTES}")
            connection.execute("PRAGMA cache_size = -256")
            with judged_at_opening():
                self._places = _places_in(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _start_checkpoint(self) -> None:
        if self._checkpoint is None or not self._checkpoint.is_alive():
            self._checkpoint = threading.Thread(target=checkpoint, args=(self.path,), name="series-checkpoint", daemon=True)
            self._checkpoint.start()


def _places_in(connection: sqlite3.Connection) -> dict[str, int]:
    if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")
    if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        msg = "it is of another version"
        raise sqlite3.DatabaseError(msg)
    for tier in TIERS:
        connection.execute(f"SELECT time_s, figures FROM {tier.table} LIMIT 1")  # noqa: S608 # a constant
    places = {str(name): int(place) for place, name in connection.execute("SELECT place, name FROM names")}
    if sorted(places.values()) != list(range(len(places))) or len(places) > NAMES_MAX:
        msg = "its names are not in order"
        raise sqlite3.DatabaseError(msg)
    return places


# A place of its own for each name; beyond the bound a figure is not kept.
def _place(connection: sqlite3.Connection, names: Mapping[str, float], places: dict[str, int]) -> None:
    for name in names:
        if name not in places and len(places) < NAMES_MAX:
            places[name] = len(places)
            connection.execute("INSERT INTO names VALUES (?, ?)", (places[name], name))


def _put(connection: sqlite3.Connection, tier: Tier, time_s: int, row: array[float]) -> None:
    connection.execute(f"INSERT OR REPLACE INTO {tier.table} VALUES (?, ?)", (time_s, row.tobytes()))  # noqa: S608 # a constant


def _stored(connection: sqlite3.Connection, tier: Tier, from_s: int, to_s: int) -> list[Row]:
    sql = f"SELECT time_s, figures FROM {tier.table} WHERE time_s >= ? AND time_s < ? ORDER BY time_s"  # noqa: S608 # a constant
    return [(time_s, row) for time_s, blob in connection.execute(sql, (from_s, to_s)) if (row := unpacked(blob)) is not None]
