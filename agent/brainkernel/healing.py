"""After records were lost: who began meanwhile is found by a snapshot of all tasks and goes through the same stages."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from brainkernel import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.enrich.table import ProcessTable
    from brainkernel.metrics import Figures
    from brainkernel.model import Exec, ProcessEvent, ProcessKey, TaskSample
    from brainkernel.own import Own
    from brainkernel.sense.loader import Loader

LOG = logging.getLogger(__name__)
PROCESSES_PER_STEP = 4  # some 4 ms: the loop must not wait for a host of thousands
_COMM_CHARS = 15  # of TASK_COMM_LEN without its final 0


class Healing:
    """Watches the loader's books. What ended unseen the process table learns from each snapshot anyway."""

    def __init__(
        self,
        *,
        loader: Loader,
        table: ProcessTable,
        clock: Clock,
        figures: Figures,
        read: Callable[[ProcessKey], Exec | None],
        handle: Callable[[ProcessEvent], None],
        own: Own,
    ) -> None:
        """`read` looks one process up in /proc, `handle` takes an exec as if the kernel had told it."""
        self._loader = loader
        self._table = table
        self._clock = clock
        self._figures = figures
        self._read = read
        self._handle = handle
        self._own = own
        self._lost = 0
        self._waiting: deque[ProcessKey] = deque()

    @property
    def busy(self) -> bool:
        """Whether somebody is still to be looked at."""
        return bool(self._waiting)

    def tick(self) -> None:
        """Take a snapshot if records were lost since the last one."""
        # Not `lost`: a loader without BPF also counts those that ended before they were looked up.
        lost = self._loader.counters().failures.get("ring_full", 0)
        if lost == self._lost:
            return
        tasks = self._loader.tasks() or []
        if tasks:
            self._table.keep_only(task.key for task in tasks)
        self._waiting = deque(task.key for task in tasks if self._is_strange(task))
        LOG.warning("%d records were lost; %d of %d processes are looked up again", lost - self._lost, len(self._waiting), len(tasks))
        self._lost = lost

    def step(self) -> None:
        """Look a few of them up."""
        for _ in range(min(PROCESSES_PER_STEP, len(self._waiting))):
            key = self._waiting.popleft()
            event = self._read(key)
            if event is None or self._own.has(event) or self._is_told(event):
                continue
            self._figures.add(metrics.PROCESSES_HEALED)
            # When it began is not known, only that it was not before it was missed.
            self._handle(replace(event, time_ns=self._clock.boot_ns()))

    # A process without an entry, or one that seems to run something else than its entry says. The name need not be
    # that of the file (threads and scripts set their own), so this asks once too often rather than too rarely.
    def _is_strange(self, task: TaskSample) -> bool:
        known = self._table.get(task.key)
        return known is None or not known.exe or known.exe.rpartition("/")[2][:_COMM_CHARS] != task.comm

    def _is_told(self, event: Exec) -> bool:
        known = self._table.get(event.key)
        return known is not None and known.exe == event.exe
