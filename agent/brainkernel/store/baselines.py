"""What this host is used to, kept over a restart: identities, argument shapes and CPU habits, all bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from brainkernel.model import FileId, Identity
from brainkernel.store.codec import path_of, path_value, signed64, unsigned64

try:
    from _blake2 import blake2b  # hashlib loads OpenSSL beside it: 3.6 MB of the daemon's 45
except ImportError:
    from hashlib import blake2b

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from brainkernel.store.database import Database

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

IDENTITIES_MAX = 32_768
SHAPES_MAX = 65_536
HABITS_MAX = 4_096

_MEET = """
    INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET count = count + excluded.count, last_ns = max(last_ns, excluded.last_ns), always = excluded.always
"""
_SHAPE = "INSERT INTO shapes VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET last_ns = max(last_ns, excluded.last_ns)"
_HABIT = """
    INSERT INTO habits VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (exe) DO UPDATE SET mean_pct = excluded.mean_pct, deviation_pct = excluded.deviation_pct,
        samples = excluded.samples, last_ns = excluded.last_ns
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIdentity:
    """One identity with its history. Times are CLOCK_REALTIME."""

    identity: Identity
    count: int
    first_ns: int
    last_ns: int
    always: bool  # the kernel must report each start of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How much CPU a program usually takes: running mean and distance from it, in percent of one CPU."""

    exe: str
    mean_pct: float
    deviation_pct: float
    samples: int


@dataclass(slots=True)
class _Met:
    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    always: bool = False


@dataclass(slots=True)
class _Pending:
    identities: dict[Identity, _Met] = field(default_factory=dict)
    shapes: dict[int, int] = field(default_factory=dict)
    habits: dict[str, tuple[Habit, int]] = field(default_factory=dict)


class Baselines:
    """What was met. Meeting costs a dictionary entry; `flush` writes one row for each, however often it was met."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending = _Pending()

    def meet(self, identity: Identity, wall_ns: int, *, count: int = 1, always: bool = False) -> None:
        """Count `count` starts of an identity."""
        met = self._pending.identities.get(identity)
        if met is None:
            met = self._pending.identities[identity] = _Met(first_ns=wall_ns)
        met.count += count
        met.last_ns = max(met.last_ns, wall_ns)
        met.always = always

    def meet_shape(self, digest: int, wall_ns: int) -> None:
        """Remember a form of arguments by the gate's 64-bit digest."""
        self._pending.shapes[digest] = wall_ns

    def keep_habit(self, habit: Habit, wall_ns: int) -> None:
        """Remember the CPU habit of a program as it is now."""
        self._pending.habits[habit.exe] = (habit, wall_ns)

    def flush(self, rows_max: int | None = None) -> None:
        """Hand what was met to the transaction of this tick: all of it, or of each kind the first `rows_max`, or a quarter.

        A row takes 30 us: a flood of new programs must not stop the loop for all of its rows at once.
        """
        pending = self._pending
        for identity, met in _taken(pending.identities, rows_max):
            self._database.write(_MEET, (digest_of(identity), *_row_of(identity, met)))
        for shape, last_ns in _taken(pending.shapes, rows_max):
            self._database.write(_SHAPE, (signed64(shape), last_ns))
        for exe, (habit, last_ns) in _taken(pending.habits, rows_max):
            self._database.write(_HABIT, (path_value(exe), habit.mean_pct, habit.deviation_pct, habit.samples, last_ns))

    def identities(self, limit: int = IDENTITIES_MAX) -> Iterator[KnownIdentity]:
        """The identities met last, oldest first, so that a bounded memory that is filled in this order keeps the newest."""
        self.flush()
        sql = "SELECT * FROM (SELECT * FROM identities ORDER BY last_ns DESC LIMIT ?) ORDER BY last_ns"
        return _readable(_known_of, self._database.rows(sql, (limit,)))

    def shapes(self, limit: int = SHAPES_MAX) -> Iterator[int]:
        """The digests of argument forms, oldest first."""
        self.flush()
        sql = "SELECT digest FROM (SELECT * FROM shapes ORDER BY last_ns DESC LIMIT ?) ORDER BY last_ns"
        return (unsigned64(digest) for (digest,) in self._database.rows(sql, (limit,)))

    def habits(self, limit: int = HABITS_MAX) -> Iterator[Habit]:
        """The CPU habits, oldest first."""
        self.flush()
        sql = "SELECT exe, mean_pct, deviation_pct, samples FROM (SELECT * FROM habits ORDER BY last_ns DESC LIMIT ?) ORDER BY last_ns"
        return _readable(_habit_of, self._database.rows(sql, (limit,)))

    def path_of(self, file: FileId) -> str | None:
        """The path under which a file was last run; None if it never was."""
        rows = self._database.rows(
            "SELECT exe FROM identities WHERE ino = ? AND dev = ? AND ctime_ns = ? ORDER BY last_ns DESC LIMIT 1",
            (signed64(file.ino), signed64(file.dev), file.ctime_ns),
        )
        return path_of(rows[0][0]) if rows else None

    def prune(self) -> None:
        """Forget what was not met for longest, beyond the bounds."""
        for table, most in (("identities", IDENTITIES_MAX), ("shapes", SHAPES_MAX), ("habits", HABITS_MAX)):
            self._database.write(
                f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} ORDER BY last_ns DESC LIMIT -1 OFFSET ?)",  # noqa: S608 # constants
                (most,),
            )


def _taken(pending: dict[K, V], most: int | None) -> list[tuple[K, V]]:
    rows = len(pending) if most is None else max(most, len(pending) // 4)
    return [(key, pending.pop(key)) for key in list(islice(pending, rows))]


def digest_of(identity: Identity) -> int:
    """63 bits that stand for an identity, as a row id."""
    text = repr((identity.exe, identity.file, identity.parent_exe, identity.parent_file, identity.uid))
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _row_of(identity: Identity, met: _Met) -> tuple[Any, ...]:
    own, parent = _file_row(identity.file), _file_row(identity.parent_file)
    paths = path_value(identity.exe), path_value(identity.parent_exe)
    return (paths[0], *own, paths[1], *parent, identity.uid, int(met.always), met.count, met.first_ns, met.last_ns)


def _file_row(file: FileId | None) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if file is None else (signed64(file.dev), signed64(file.ino), file.ctime_ns)


def _file_of(dev: int | None, ino: int | None, ctime_ns: int | None) -> FileId | None:
    return None if dev is None or ino is None or ctime_ns is None else FileId(unsigned64(dev), unsigned64(ino), ctime_ns)


# A row that a bad disk changed is left out: it will be met anew.
def _readable(read: Callable[[tuple[Any, ...]], T], rows: list[tuple[Any, ...]]) -> Iterator[T]:
    for row in rows:
        try:
            yield read(row)
        except (TypeError, ValueError):
            continue


def _habit_of(row: tuple[Any, ...]) -> Habit:
    exe, mean_pct, deviation_pct, samples = row
    return Habit(exe=path_of(exe), mean_pct=float(mean_pct), deviation_pct=float(deviation_pct), samples=int(samples))


def _known_of(row: tuple[Any, ...]) -> KnownIdentity:
    _, exe, *rest = row
    identity = Identity(path_of(exe), _file_of(*rest[0:3]), path_of(rest[3]), _file_of(*rest[4:7]), rest[7])
    always, count, first_ns, last_ns = rest[8:12]
    return KnownIdentity(identity=identity, count=count, first_ns=first_ns, last_ns=last_ns, always=bool(always))
