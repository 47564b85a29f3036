"""The simulated host: processes with their counters, a limiter that acts on them, and an editor that waits for a CPU."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from brainkernel.act.limiter import Applied, NotApplied, Released
from brainkernel.composition.senses import Senses
from brainkernel.gate.gate import suspect_of
from brainkernel.model import Action, Change, Exec, ProcessKey, Refusal, ReleaseResult, Route, Standing, TaskSample
from brainkernel.observe.window import Snapshot
from brainkernel.sense.loader import KernelCounters

from benchmarks.feedback.week import RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.act.limiter import Result
    from brainkernel.clock import SimulatedClock
    from brainkernel.model import Decision, Identity, Limit, ProcessEvent
    from brainkernel.observe.window import TaskUse

EDITOR = ProcessKey(50, 10_000_000)
S = 1_000_000_000
HOG_CPU, FREE_WAIT, LIMITED_WAIT = 1.5, 0.4, 0.02  # CPUs it takes; shares of the time in which the editor stands in the run queue
ORDINARY = Standing(flags=0, nice=0, policy=0, affinity_restricted=False, leads_session=False, owns_terminal=False)
_CALM_SLOT, _BUSY_SLOT, _SLOTS = 14, 29, 40  # of the run queue's histogram: 16 us, 0.5 s


@dataclass(slots=True)
class _Process:
    event: Exec
    cpu_ns: int = 0
    cpus: float = 0.0  # that it takes
    limit: Limit | None = None


@dataclass(slots=True)
class World:
    """What runs, and what each second does to the counters."""

    clock: SimulatedClock
    storm: bool = False
    processes: dict[ProcessKey, _Process] = field(default_factory=dict)
    events: deque[ProcessEvent] = field(default_factory=deque)
    editor_wait_ns: int = 0
    pressure_us: int = 0
    queue: list[int] = field(default_factory=lambda: [0] * _SLOTS)
    advanced_ns: int = 0

    def begin(self, event: Exec, cpus: float) -> None:
        """A program starts."""
        self.processes[event.key] = _Process(event, cpus=cpus)
        self.events.append(event)

    def end(self, key: ProcessKey) -> None:
        """A process is gone."""
        self.processes.pop(key, None)

    def advance(self) -> None:
        """Let the time since the last call pass for the counters."""
        passed_ns = self.clock.boot_ns() - self.advanced_ns
        self.advanced_ns = self.clock.boot_ns()
        free = limited = 0.0
        for process in self.processes.values():
            cpus = process.cpus * _share_of(process.limit)
            process.cpu_ns += int(cpus * passed_ns)
            if process.cpus:
                free, limited = max(free, cpus), limited + 1
        wait = 0.9 if self.storm else FREE_WAIT if free > 1 else LIMITED_WAIT if limited else 0.0
        self.editor_wait_ns += int(wait * passed_ns)
        self.pressure_us += int(wait * passed_ns / 1000)
        self.queue[_BUSY_SLOT if self.storm else _CALM_SLOT] += max(1, passed_ns // S)

    def tasks(self) -> dict[ProcessKey, TaskSample]:
        """All processes, with the editor."""
        found = {
            key: TaskSample(key=key, ppid=60, uid=p.event.uid, comm=p.event.comm, cpu_ns=p.cpu_ns, run_delay_ns=0, rss_bytes=0, cgroup_id=7)
            for key, p in self.processes.items()
        }
        found[EDITOR] = TaskSample(
            key=EDITOR, ppid=60, uid=1000, comm="editor", cpu_ns=0, run_delay_ns=self.editor_wait_ns, rss_bytes=0, cgroup_id=8
        )
        return found


def _share_of(limit: Limit | None) -> float:
    if limit is None:
        return 1.0
    return 0.3 if limit.cpu_quota_pct is None else limit.cpu_quota_pct / 100 / HOG_CPU


class WorldLoader:
    """The loader of the simulated host. Each start is reported: the gate in user space knows what is known."""

    name = "simulated"
    limits = ()

    def __init__(self, world: World) -> None:
        self._world = world
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def drain(self, limit: int = 512) -> list[ProcessEvent]:
        events = self._world.events
        return [events.popleft() for _ in range(min(limit, len(events)))]

    def counters(self) -> KernelCounters:
        return KernelCounters()

    def remember_many(self, identities: Iterable[tuple[Identity, bool]]) -> int:
        return sum(1 for _ in identities)

    # What the gate in the kernel is told, and run queues of cgroups: there is no kernel here.
    def __getattr__(self, name: str) -> Any:
        if name in {"remember", "remember_arguments", "forget", "exclude", "follow_cgroup", "unfollow_cgroup"}:
            return lambda *_args, **_options: True
        raise AttributeError(name)


class WorldSenses(Senses):
    """The agent's senses, of which those that look at /proc look at the simulated host."""

    world: World  # set as soon as it is made; nothing looks before

    def snapshot(self) -> Snapshot:
        self.world.advance()
        tasks = self.world.tasks()
        self.table.keep_only(tasks)
        queue = tuple(self.world.queue)
        return Snapshot(time_ns=self.world.clock.boot_ns(), tasks=tasks, pressure_total_us=self.world.pressure_us, run_queue=queue)

    def read_running(self, key: ProcessKey) -> Exec | None:
        process = self.world.processes.get(key)
        return process.event if process else None

    def running_suspect(self, use: TaskUse) -> Any:
        event = self.read_running(use.key)
        if event is None:
            return None
        suspect = suspect_of(event, ())
        return replace(suspect, program=replace(suspect.program, parents=RUNNER))

    def enrich(self, suspect: Any, started: Exec | None) -> Any:
        parents = RUNNER if suspect.identity.parent_exe == RUNNER[0] else (suspect.identity.parent_exe,)
        return self.enricher.enrich(replace(suspect, program=replace(suspect.program, parents=parents)), started)

    def standing(self, key: ProcessKey) -> Standing | None:
        return ORDINARY if key in self.world.processes else None


class WorldLimiter:
    """Limits on the simulated host, at once; a process that ends takes its limit with it."""

    last_id = 0
    left: frozenset[int] = frozenset()

    def __init__(self, world: World) -> None:
        self._world = world
        self._standing: dict[int, Action] = {}
        self._results: deque[Result] = deque()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        return self._fd

    def results(self) -> list[Result]:
        now_ns = self._world.clock.boot_ns()
        for action in list(self._standing.values()):
            if action.target not in self._world.processes:
                self._end(action, ReleaseResult.GONE, "its process ended")
            elif now_ns >= action.expires_ns:
                self._end(action, ReleaseResult.RESTORED, "its lease is over")
        return [self._results.popleft() for _ in range(len(self._results))]

    def apply(self, decision: Decision) -> None:
        process = self._world.processes.get(decision.suspect.key)
        if process is None or decision.limit is None:
            self._results.append(NotApplied(decision.id, Refusal(rule="gone", reason="has ended")))
            return
        now_ns = self._world.clock.boot_ns()
        action = Action(
            id=decision.id, target=decision.suspect.key, comm=process.event.comm, route=Route.SCOPE, unit=f"job-{decision.id}.scope",
            cgroup=f"/job-{decision.id}.scope", cgroup_id=0, limit=decision.limit, changes=(Change("CPUWeight", "", str(decision.limit)),),
            started_ns=now_ns, expires_ns=now_ns + decision.lease_ns,
        )  # fmt: skip
        self._stand(action, process)

    def step(self, action_id: int, limit: Limit, expires_ns: int) -> None:
        action = self._standing.get(action_id)
        process = self._world.processes.get(action.target) if action else None
        if action and process:
            self._stand(replace(action, limit=limit, expires_ns=expires_ns), process)

    def renew(self, action_id: int, expires_ns: int) -> None:
        if action := self._standing.get(action_id):
            self._standing[action_id] = replace(action, expires_ns=expires_ns)

    def release(self, action_id: int, why: str) -> None:
        if action := self._standing.get(action_id):
            self._end(action, ReleaseResult.RESTORED, why)

    def release_all(self, why: str, _deadline_s: float) -> int:
        for action in list(self._standing.values()):
            self._end(action, ReleaseResult.RESTORED, why)
        return 0

    def close(self) -> None:
        os.close(self._fd)

    def _stand(self, action: Action, process: _Process) -> None:
        process.limit = action.limit
        self._standing[action.id] = action
        self._results.append(Applied(action))

    def _end(self, action: Action, result: ReleaseResult, why: str) -> None:
        del self._standing[action.id]
        if process := self._world.processes.get(action.target):
            process.limit = None
        self._results.append(Released(action, result, why))
