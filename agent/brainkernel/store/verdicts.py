"""The exact verdict cache on the disk: what was judged once need not be asked again, until it expires or its file changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import FileId, Verdict
from brainkernel.store.codec import UnreadableError, decode, encode, path_value, signed64

if TYPE_CHECKING:
    from brainkernel.clock import Clock
    from brainkernel.store.database import Database

VERDICTS_MAX = 65_536
_EXPIRED_KEPT_NS = 7 * 86_400 * 1_000_000_000

_PUT = """
    INSERT INTO verdicts (key, verdict, expires_ns, dev, ino, ctime_ns) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET verdict = excluded.verdict, expires_ns = excluded.expires_ns,
        dev = excluded.dev, ino = excluded.ino, ctime_ns = excluded.ctime_ns
"""
_GET = "SELECT verdict FROM verdicts WHERE key = ? AND expires_ns > ?"


class Verdicts:
    """Verdicts by key text. The key is the classifier's (`classify.VerdictCache`); this only keeps it, byte for byte."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._hits: dict[str, int] = {}

    def get(self, key: str) -> Verdict | None:
        """The verdict under a key; None if there is none or its time is over."""
        rows = self._database.rows(_GET, (path_value(key), self._clock.wall_ns()))
        if not rows:
            return None
        try:
            verdict = decode(rows[0][0], Verdict)
        except UnreadableError:
            self.forget(key)
            return None
        self._hits[key] = self._hits.get(key, 0) + 1
        return verdict

    def expires_ns(self, key: str) -> int | None:
        """When the verdict under a key expires, or did (CLOCK_REALTIME); None if none is kept."""
        rows = self._database.rows("SELECT expires_ns FROM verdicts WHERE key = ?", (path_value(key),))
        return int(rows[0][0]) if rows else None

    def put(self, key: str, verdict: Verdict, ttl_s: float, file: FileId | None = None) -> None:
        """Keep a verdict for a time, which also runs while the host is off. `file`: for `forget_file`."""
        expires_ns = self._clock.wall_ns() + int(ttl_s * 1e9)
        self._database.write(_PUT, (path_value(key), encode(verdict), expires_ns, *_file_row(file)))

    def forget(self, key: str) -> None:
        """Drop the verdict of one key."""
        self._hits.pop(key, None)
        self._database.write("DELETE FROM verdicts WHERE key = ?", (path_value(key),))

    def forget_file(self, file: FileId) -> None:
        """Drop all verdicts given for one version of a file."""
        dev, ino, ctime_ns = _file_row(file)
        self._database.write("DELETE FROM verdicts WHERE ino = ? AND dev = ? AND ctime_ns = ?", (ino, dev, ctime_ns))

    def hits(self, key: str) -> int:
        """How often a key was found."""
        rows = self._database.rows("SELECT hits FROM verdicts WHERE key = ?", (path_value(key),))
        return (int(rows[0][0]) if rows else 0) + self._hits.get(key, 0)

    def count(self) -> int:
        """How many verdicts are kept."""
        return int(self._database.rows("SELECT count(*) FROM verdicts")[0][0])

    def flush(self) -> None:
        """Hand the hits since the last call to the transaction of this tick."""
        hits, self._hits = self._hits, {}
        for key, count in hits.items():
            self._database.write("UPDATE verdicts SET hits = hits + ? WHERE key = ?", (count, path_value(key)))

    def prune(self) -> None:
        """Drop what expired a week ago (it may be asked for again until then), and beyond the bound what expires first."""
        self._database.write("DELETE FROM verdicts WHERE expires_ns <= ?", (self._clock.wall_ns() - _EXPIRED_KEPT_NS,))
        self._database.write(
            "DELETE FROM verdicts WHERE rowid IN (SELECT rowid FROM verdicts ORDER BY expires_ns DESC LIMIT -1 OFFSET ?)", (VERDICTS_MAX,)
        )


def _file_row(file: FileId | None) -> tuple[int | None, int | None, int | None]:
    return (None, None, None) if file is None else (signed64(file.dev), signed64(file.ino), file.ctime_ns)
