"""The parts that see: the loader, what is known of running processes, their evidence and the pressure."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.act.scheduling import read_ioprio
from brainkernel.enrich.enricher import Enricher
from brainkernel.enrich.lineage import parents_of, read_into_table
from brainkernel.enrich.presents import read_presents
from brainkernel.enrich.procfs import ProcFs
from brainkernel.enrich.session import read_seat_users
from brainkernel.enrich.standing import read_standing
from brainkernel.enrich.table import ProcessTable
from brainkernel.errors import ActError
from brainkernel.gate.baseline import Baseline
from brainkernel.gate.gate import suspect_of
from brainkernel.healing import Healing
from brainkernel.memory import Memory
from brainkernel.observe.window import Snapshot
from brainkernel.own import Own
from brainkernel.sense.cgroups import CgroupPaths, read_mounts
from brainkernel.sense.pressure import Pressure, PressureTrigger, read_cpu_some_us
from brainkernel.sense.snapshot import read_process, read_running

if TYPE_CHECKING:
    from brainkernel.composition.ground import Ground
    from brainkernel.model import Exec, ProcessKey, Standing, Suspect
    from brainkernel.observe.window import TaskUse
    from brainkernel.sense.loader import Chosen
    from brainkernel.starts import Starts
    from brainkernel.store import Store

LOG = logging.getLogger(__name__)


class Senses:
    """What is around an open loader: what it saw, what runs, what is known of it."""

    def __init__(self, ground: Ground, store: Store, chosen: Chosen) -> None:
        paths, clock = ground.paths, ground.clock
        self._ground = ground
        self._proc_root = paths.proc
        self._proc = ProcFs(paths.proc)
        self.own = Own.read(paths.proc)
        self.cgroup_paths = CgroupPaths(paths.proc, read_mounts(paths.proc))
        self.baseline = Baseline()
        self.table = ProcessTable()
        self.chosen = chosen
        _tell(ground, chosen)
        self.memory = Memory(self.baseline, self.chosen.loader, store.baselines, clock)
        self.enricher = Enricher.of_host(paths.state_dir, clock, proc_root=paths.proc, fs_root=paths.root)
        self.pressure = Pressure(PressureTrigger.open(paths.proc / "pressure/cpu"), clock)

    def learn_what_runs(self) -> None:
        """Know what was met in earlier runs, and what runs already: none of that is new."""
        self.memory.preload()
        for event in read_running(self._proc_root):
            self.table.on_exec(event)
            self.memory.running(event)
        self.enricher.prepare()

    def enrich(self, suspect: Suspect, started: Exec | None) -> Suspect:
        """Add lineage and evidence to a suspect."""
        if started is not None:
            parents = parents_of(started, self.table, self._proc)
            suspect = replace(suspect, program=replace(suspect.program, parents=parents))
        return self.enricher.enrich(suspect, started)

    def snapshot(self) -> Snapshot:
        """See all tasks and what waits, now."""
        tasks = self.chosen.loader.tasks() or []
        if tasks:  # the kernel's gate does not tell of a known program's end
            self.table.keep_only(task.key for task in tasks)
        return Snapshot(
            time_ns=self._ground.clock.boot_ns(),
            tasks={task.key: task for task in tasks},
            pressure_total_us=read_cpu_some_us(self._proc_root),
            run_queue=self.chosen.loader.run_queue(),
        )

    def exe_of(self, key: ProcessKey) -> str:
        """Name the program of a running process; "" if it is gone."""
        known = self.table.get(key)
        if known is None or not known.exe:
            read_into_table(key, self.table, self._proc)
            known = self.table.get(key)
        return known.exe if known else ""

    def running_suspect(self, use: TaskUse) -> Suspect | None:
        """Make a suspect of a process that runs; None if it is gone, or the agent's own."""
        event = read_process(self._proc_root, use.key)
        if event is None or self.own.has(event):
            return None
        self.table.on_exec(event)
        suspect = suspect_of(event, ())
        return replace(suspect, program=replace(suspect.program, parents=parents_of(event, self.table, self._proc)))

    def standing(self, key: ProcessKey) -> Standing | None:
        """How a process stands with the scheduler, its terminal and the person at it; None if it is gone."""
        standing = read_standing(self._proc_root, key)
        if standing is None:
            return None
        io_priority = 0
        with suppress(OSError, ActError):  # gone, which is seen where it is written; or not known on this machine
            io_priority = read_ioprio(key.tgid)
        return replace(standing, io_priority=io_priority, presents=self.presents(key.tgid))

    def presents(self, tgid: int) -> str:
        """What a process shows or plays to a person, "" for nothing. For any thread."""
        return read_presents(self._proc_root, tgid, read_seat_users(self._ground.paths.root / "run"))

    def healing(self, starts: Starts) -> Healing:
        """Make the part that finds what the kernel had to drop."""
        return Healing(
            loader=self.chosen.loader,
            table=self.table,
            clock=self._ground.clock,
            figures=self._ground.figures,
            read=lambda key: read_process(self._proc_root, key),
            handle=starts.on_event,
            own=self.own,
        )

    def close(self) -> None:
        """Let go of the loader and of what the evidence keeps open."""
        self.enricher.close()
        self.cgroup_paths.close()
        self.chosen.loader.close()


def _tell(ground: Ground, chosen: Chosen) -> None:
    ground.figures.set(metrics.LOADER, 1, chosen.loader.name)
    for text in chosen.refused:
        LOG.warning("loader refused: %s", text)
        ground.figures.set(metrics.LOADER_REFUSED, 1, text.partition(":")[0])
    for text in (*chosen.refused, *chosen.loader.limits):
        ground.notice(text)
