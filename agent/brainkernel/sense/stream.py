"""What loaders have in common whose kernel side only tells that something happened: book, gate, samples from /proc."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from brainkernel.clock import SystemClock
from brainkernel.sense import wire
from brainkernel.sense.processbook import ProcessBook
from brainkernel.sense.proctasks import read_tasks
from brainkernel.sense.suppression import SuppressionNotices
from brainkernel.sense.usergate import Fate, UserGate
from brainkernel.sense.usergated import UserGatedLoader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from brainkernel.clock import Clock
    from brainkernel.model import ProcessEvent, TaskSample


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How such a loader is set up; the defaults are those of a host."""

    all_events: bool = False  # the gate keeps nothing back, forks are reported
    own_tgids: tuple[int, ...] = field(default_factory=lambda: (os.getpid(),))
    exec_records_per_s: int = 200  # per cgroup, once the burst is spent; 0: no limit
    exec_records_burst: int = 1000
    run_queue: bool = True
    proc: Path = Path("/proc")

    @property
    def tokens(self) -> tuple[int, int]:
        """Rate and burst of flood control: none for whoever wants all events."""
        return (0, 0) if self.all_events else (self.exec_records_per_s, self.exec_records_burst)


class StreamLoader(UserGatedLoader, ABC):
    """See `Loader`. A subclass opens the source, and gives its records in the order of their time."""

    name: str
    limits: tuple[str, ...]

    def __init__(self, options: StreamOptions | None = None, clock: Clock | None = None) -> None:
        """Nothing happens before `open`."""
        self._options = options or StreamOptions()
        self._clock = clock or SystemClock()
        self._notices = SuppressionNotices()
        self._book = ProcessBook(self._options.proc)
        super().__init__(UserGate(all_events=self._options.all_events))
        self._is_open = False

    def __enter__(self) -> Self:
        if not self._is_open:
            self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Begin to see. Raises SenseError with what is missing and what to do."""
        for tgid in self._options.own_tgids:
            self._gate.exclude(tgid)
        self._begin()
        self._book.prime()  # after the source is open: who starts in between is in both, and the book takes the later
        self._is_open = True

    def close(self) -> None:
        """Stop, and leave nothing in the kernel. May be called twice."""
        self._is_open = False
        self._end()

    @abstractmethod
    def fileno(self) -> int:
        """See `Loader`."""

    @abstractmethod
    def _begin(self) -> None:
        """Open the source. Raises SenseError."""

    @abstractmethod
    def _end(self) -> None:
        """Close the source, also one that was opened half or not at all."""

    @abstractmethod
    def _read(self, limit: int) -> list[wire.Record]:
        """What waits, oldest first; losses are entered in the gate's books here."""

    def _admits(self, record: wire.ExecRecord) -> bool:
        # Asked before /proc is, where all the time goes; the kernel side may have asked already.
        del record
        return True

    @abstractmethod
    def _suppressed(self) -> Mapping[int, int]:
        """How many execs flood control held back, by cgroup."""

    def drain(self, limit: int = 512) -> list[ProcessEvent]:
        """Take what waits. Whose end is among it is not looked up: /proc has nothing, or another process of that pid."""
        records = self._read(limit)
        ended: set[int] = set()
        gone = []
        for record in reversed(records):
            gone.append(record.tgid in ended)
            if isinstance(record, wire.ExitRecord):
                ended.add(record.tgid)
        events = (self._event_of(record, is_gone) for record, is_gone in zip(records, reversed(gone), strict=True))
        told: list[ProcessEvent] = [event for event in events if event is not None]
        return told + self._notices.due(self._clock.boot_ns(), lambda: self.counters().exec.suppressed, self._suppressed)

    def _event_of(self, record: wire.Record, is_gone: bool) -> ProcessEvent | None:
        gate, book = self._gate, self._book
        if isinstance(record, wire.ForkRecord):
            fate = gate.of_fork(record.tgid, record.parent_tgid)
            fork = book.fork_of(record, is_gone=is_gone)
            return fork if fate is Fate.SUBMITTED else None
        if isinstance(record, wire.ExitRecord):
            fate = gate.of_exit(record.tgid)
            return book.exit_of(record) if fate is Fate.SUBMITTED else None
        if gate.is_own(record.tgid):
            gate.count("exec", Fate.OWN)
            return None
        if not self._admits(record):
            gate.count("exec", Fate.SUPPRESSED)
            return None
        event = book.exec_of(record, is_gone=is_gone)
        if event is None:
            gate.failures["gone"] += 1
            gate.count("exec", Fate.FAILED)
            return None
        return event if gate.of_exec(event) is Fate.SUBMITTED else None

    def tasks(self) -> list[TaskSample] | None:
        """Read /proc: some 30 us per process."""
        return read_tasks(self._options.proc)
