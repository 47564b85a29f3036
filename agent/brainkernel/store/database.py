"""One connection, in the daemon's thread, that always works: on the file while it can, else in memory.

Writes join one transaction that `flush` commits once per tick; reads on the same connection see them at once.
What a failing disk did not take is kept (bounded) and written when the disk is back.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from brainkernel.errors import StoreError
from brainkernel.escape import escaped
from brainkernel.store.files import FAILURES, FILE_NAME, is_damage, lock_directory, move_aside, open_file, open_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from brainkernel.clock import Clock

    Parameters = tuple[Any, ...]
    Operation = tuple[str, Parameters]

T = TypeVar("T")

_RETRY_NS = 60_000_000_000
_KEPT_MAX = 2_000  # operations, some 4 MB of decisions
_CHECKPOINT_OPERATIONS = 1_000  # some 4 MB of write-ahead log
_LOG_MAX_BYTES = 64 << 20  # a flood of writes outruns the thread; then the loop waits once rather than fill the disk


class Database:
    """The state database. No method raises for what the disk does; `report` gets a sentence for people instead.

    Raises StoreError on construction for a schema newer than ours, or when another process has the directory.
    """

    def __init__(self, directory: Path, clock: Clock, report: Callable[[str], None]) -> None:
        self.path = directory / FILE_NAME
        self._clock = clock
        self._report = report
        self._journal: list[Operation] = []  # of the open transaction
        self._kept: deque[Operation] = deque(maxlen=_KEPT_MAX)  # written to memory alone
        self._in_memory_because = ""
        self._retry_ns = 0
        self._operations = 0  # since the last checkpoint
        self._checkpoint: threading.Thread | None = None
        self._directory = lock_directory(directory)
        self._connection = self._open()

    @property
    def in_memory_because(self) -> str:
        """Why nothing is kept on the disk now; empty while all is well."""
        return self._in_memory_because

    def write(self, sql: str, parameters: Parameters = ()) -> None:
        """Add one statement to the transaction of this tick."""
        self._attempt(lambda connection: _run(connection, ((sql, parameters),)))
        self._journal.append((sql, parameters))
        self._operations += 1

    def rows(self, sql: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, with the writes of this tick in it."""
        return self._attempt(lambda connection: connection.execute(sql, parameters).fetchall())

    def flush(self) -> None:
        """Commit what was written since the last call, and look whether a lost disk is back."""
        if self._in_memory_because and self._clock.boot_ns() >= self._retry_ns:
            self._return_to_disk()
        if not self._journal:
            return
        self._attempt(_commit)
        if self._in_memory_because:
            self._kept.extend(self._journal)
        self._journal.clear()
        if self._operations >= _CHECKPOINT_OPERATIONS and not self._in_memory_because:
            self._start_checkpoint()

    def close(self) -> None:
        """Commit, fold the journal into the file and let the directory go."""
        self.flush()
        if self._checkpoint is not None:
            self._checkpoint.join()
        with suppress(sqlite3.Error):  # if it fails, the journal holds all of it and the next start reads that
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._unlock()

    # The file, then a fresh file if it is damaged, then memory: each attempt that fails goes one further.
    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        is_fresh = False
        while True:
            try:
                return work(self._connection)
            except sqlite3.ProgrammingError:
                raise  # ours
            except FAILURES as error:
                if self._in_memory_because:
                    msg = f"the state database fails even in memory: {error}"
                    raise StoreError(msg) from error
                self._replace(error, anew=is_damage(error) and not is_fresh)
                is_fresh = True

    def _replace(self, error: Exception, *, anew: bool) -> None:
        self._connection.close()
        self._connection = self._open_after(error) if anew else self._go_to_memory(error)
        try:
            _run(self._connection, self._journal)
        except FAILURES as again:
            self._connection.close()
            self._connection = self._go_to_memory(again)
            _run(self._connection, self._journal)

    def _open(self) -> sqlite3.Connection:
        try:
            return open_file(self.path)
        except StoreError:
            self._unlock()
            raise
        except (*FAILURES, OSError) as error:
            return self._open_after(error)

    def _open_after(self, error: Exception) -> sqlite3.Connection:
        if not is_damage(error):
            return self._go_to_memory(error)
        try:
            return self._open_anew(error)
        except (*FAILURES, OSError, StoreError) as another:
            return self._go_to_memory(another)

    def _open_anew(self, error: Exception) -> sqlite3.Connection:
        aside = move_aside(self.path, self._clock.wall_ns())
        connection = open_file(self.path)
        self._report(f"{self.path} is damaged ({escaped(str(error), 200)}): moved to {aside.name}, going on with an empty one")
        return connection

    def _go_to_memory(self, error: Exception) -> sqlite3.Connection:
        self._in_memory_because = escaped(str(error), 200)
        self._retry_ns = self._clock.boot_ns() + _RETRY_NS
        self._report(
            f"{self.path} cannot be used ({self._in_memory_because}): going on in memory, what is learned now is lost on a restart "
            f"unless the disk comes back; free or repair it, it is tried again every {_RETRY_NS // 1_000_000_000} s"
        )
        return open_memory()

    def _return_to_disk(self) -> None:
        self._retry_ns = self._clock.boot_ns() + _RETRY_NS
        try:
            if self._directory is None:
                self._directory = lock_directory(self.path.parent)
            connection = self._open_or_anew()
        except (*FAILURES, OSError, StoreError):
            return
        try:
            _run(connection, (*self._kept, *self._journal))
            _commit(connection)
        except FAILURES:
            connection.close()
            return
        self._connection.close()
        self._connection, self._in_memory_because = connection, ""
        self._report(f"{self.path} can be used again: {len(self._kept)} writes of the meantime are kept")
        self._kept.clear()
        self._journal.clear()

    def _open_or_anew(self) -> sqlite3.Connection:
        try:
            return open_file(self.path)
        except FAILURES as error:
            if not is_damage(error):
                raise
            return self._open_anew(error)

    def _start_checkpoint(self) -> None:
        if self._checkpoint is not None and self._checkpoint.is_alive():
            return
        self._operations = 0
        if self._log_bytes() > _LOG_MAX_BYTES:
            checkpoint(self.path, "TRUNCATE")
            return
        self._checkpoint = threading.Thread(target=checkpoint, args=(self.path,), name="checkpoint", daemon=True)
        self._checkpoint.start()

    def _log_bytes(self) -> int:
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return 0

    def _unlock(self) -> None:
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None


def _run(connection: sqlite3.Connection, operations: Iterable[Operation]) -> None:
    for sql, parameters in operations:
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        connection.execute(sql, parameters)


def _commit(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("COMMIT")


def checkpoint(path: Path, mode: str = "PASSIVE") -> None:
    """Fold the write-ahead log of a database into its file, over a connection of its own, so that any thread may.

    PASSIVE waits for nobody and holds nobody up. A failure is left for the next commit to show.
    """
    try:
        connection = sqlite3.connect(path, timeout=0)
        try:
            connection.execute(f"PRAGMA wal_checkpoint({mode})")
        finally:
            connection.close()
    except sqlite3.Error:
        pass  # the log grows until the next one
