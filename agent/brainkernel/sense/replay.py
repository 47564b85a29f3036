"""The loader that reads a recording: the events of another day or another host, through the same gate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Self

from brainkernel.errors import SenseError
from brainkernel.model import Exec, Exit, Fork
from brainkernel.sense.recording import EventReader
from brainkernel.sense.usergate import Fate, UserGate
from brainkernel.sense.usergated import UserGatedLoader

if TYPE_CHECKING:
    from brainkernel.model import ProcessEvent, TaskSample


class ReplayLoader(UserGatedLoader):
    """See `Loader`. Reads a recording as fast as it is drained; `finished` says that there is no more for now."""

    name = "replay"
    limits = (
        "a program that was recorded without its file is reported each time",
        "a recording has no run-queue waits, and no samples of CPU time, run delay and memory",
    )

    def __init__(self, source: BinaryIO, *, all_events: bool = False, own_tgids: tuple[int, ...] = ()) -> None:
        """`source` is the caller's to close; `own_tgids` are those whose events are left out."""
        super().__init__(UserGate(all_events=all_events))
        for tgid in own_tgids:
            self._gate.exclude(tgid)
        self._source = source
        self._reader = EventReader(getattr(source, "name", "-"))
        self._ready_fd: int | None = None
        self.finished = False

    def __enter__(self) -> Self:
        if self._ready_fd is None:
            self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Begin to read."""
        self._ready_fd = os.eventfd(1, os.EFD_CLOEXEC)  # readable until the end of the recording was read

    def close(self) -> None:
        """Read no more. May be called twice."""
        if self._ready_fd is not None:
            os.close(self._ready_fd)
            self._ready_fd = None

    def fileno(self) -> int:
        """Readable while there is more."""
        if self._ready_fd is None:
            msg = "replay is not open"
            raise SenseError(msg)
        return self._ready_fd

    def drain(self, limit: int = 512) -> list[ProcessEvent]:
        """The events that the gate lets pass of the next `limit` lines. Raises UsageError at a bad one."""
        if self._ready_fd is None:
            return []
        events: list[ProcessEvent] = []
        for _ in range(limit):
            line = self._source.readline()
            if not line:
                self._finish()
                break
            event = self._reader.event_of(line.decode("utf-8", "surrogateescape"))
            if event is not None and self._fate_of(event) is Fate.SUBMITTED:
                events.append(event)
        return events

    def tasks(self) -> list[TaskSample] | None:
        """A recording does not have them."""
        return None

    def _finish(self) -> None:
        if not self.finished and self._ready_fd is not None:
            os.eventfd_read(self._ready_fd)
            self.finished = True

    def _fate_of(self, event: ProcessEvent) -> Fate:
        gate = self._gate
        match event:
            case Exec():
                return gate.count("exec", Fate.OWN) if gate.is_own(event.key.tgid) else gate.of_exec(event)
            case Fork():
                return gate.of_fork(event.key.tgid, event.parent.tgid)
            case Exit():
                return gate.of_exit(event.key.tgid)
        return Fate.FAILED  # not in a recording
