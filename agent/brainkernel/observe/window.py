"""Two snapshots of all tasks become rates: who used how much CPU, who waited how long, in one window. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from brainkernel.model import ProcessKey, TaskSample  # noqa: TC001 # part of what a reader sees in the types

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

KTHREADD_PID = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All tasks and the host's counters at one moment. Counters only grow."""

    time_ns: int  # CLOCK_BOOTTIME
    tasks: dict[ProcessKey, TaskSample]
    pressure_total_us: int | None  # "total" of /proc/pressure/cpu, line some
    run_queue: tuple[int, ...] | None  # cumulative log2 histogram, as the loader gives it


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUse:
    """What one process used and waited in a window, in percent of one CPU."""

    key: ProcessKey
    ppid: int
    uid: int
    comm: str
    cgroup_id: int
    cpu_pct: float
    wait_pct: float
    reaped_pct: float = 0.0  # what children used that ended within the window, and theirs

    @property
    def job(self) -> tuple[int, str]:
        """Which processes belong together: the same command in the same cgroup are the workers of one job."""
        return (self.cgroup_id, self.comm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The rates between two snapshots."""

    start_ns: int
    end_ns: int
    uses: dict[ProcessKey, TaskUse]
    pressure_pct: float  # 0 where the kernel has no PSI
    run_queue: tuple[int, ...] | None  # counts of this window alone
    jobs: dict[tuple[int, str], list[TaskUse]] = field(default_factory=dict)

    def charged(self, builders: Collection[ProcessKey]) -> Window:
        """The same window, but these have used what their ended children did."""
        uses = {key: replace(use, cpu_pct=use.cpu_pct + use.reaped_pct) if key in builders else use for key, use in self.uses.items()}
        return replace(self, uses=uses, jobs=_jobs_of(uses.values()))

    @property
    def length_ns(self) -> int:
        """The length of the window."""
        return self.end_ns - self.start_ns


def ancestors_of(window: Window, use: TaskUse) -> list[TaskUse]:
    """The processes above one, its parent first, as far as the window knows them."""
    by_pid = {other.key.tgid: other for other in window.uses.values()}
    line: list[TaskUse] = []
    above = by_pid.get(use.ppid)
    while above is not None and above is not use and above not in line:
        line.append(above)
        above = by_pid.get(above.ppid)
    return line


def families_of(window: Window, roots: Collection[ProcessKey]) -> set[ProcessKey]:
    """Those of `roots` that run, and all that descends from them."""
    by_pid = {use.key.tgid: use for use in window.uses.values()}
    found: set[ProcessKey] = set()
    for use in window.uses.values():
        line, ancestor = [], by_pid.get(use.key.tgid)
        while ancestor is not None and ancestor.key not in line:
            line.append(ancestor.key)
            ancestor = by_pid.get(ancestor.ppid)
        if any(key in roots for key in line):
            found.add(use.key)
    return found


def window_of(first: Snapshot, last: Snapshot) -> Window:
    """Compare two snapshots. A process that started in between counts from its start; one that ended is left out.

    Kernel threads are left out: they neither can be limited nor are they anybody whom a person waits for.
    """
    length_ns = max(1, last.time_ns - first.time_ns)
    uses = {use.key: use for use in _uses(first, last, length_ns)}
    pressure = 0.0
    if first.pressure_total_us is not None and last.pressure_total_us is not None:
        pressure = 100 * max(0, last.pressure_total_us - first.pressure_total_us) * 1000 / length_ns
    queue = None
    if first.run_queue is not None and last.run_queue is not None:
        queue = tuple(max(0, b - a) for a, b in zip(first.run_queue, last.run_queue, strict=True))
    return Window(
        start_ns=first.time_ns, end_ns=last.time_ns, uses=uses, pressure_pct=pressure, run_queue=queue, jobs=_jobs_of(uses.values())
    )


def _jobs_of(uses: Iterable[TaskUse]) -> dict[tuple[int, str], list[TaskUse]]:
    jobs: dict[tuple[int, str], list[TaskUse]] = defaultdict(list)
    for use in uses:
        jobs[use.job].append(use)
    return dict(jobs)


# What was known of the ended at the first snapshot was used before the window. It reached the nearest ancestor that
# lived on; where that is another than the one who waited (an orphan's), the difference is lost, and never negative.
def _known_before(first: Snapshot, last: Snapshot) -> dict[int, int]:
    by_pid = {task.key.tgid: task for task in first.tasks.values()}
    known: dict[int, int] = defaultdict(int)
    for key, task in first.tasks.items():
        if key in last.tasks:
            continue
        above, seen = by_pid.get(task.ppid), 0
        while above is not None and above.key not in last.tasks and seen < len(by_pid):
            above, seen = by_pid.get(above.ppid), seen + 1
        if above is not None:
            known[above.key.tgid] += task.cpu_ns + task.reaped_ns
    return known


def _uses(first: Snapshot, last: Snapshot, length_ns: int) -> Iterable[TaskUse]:
    known_before = _known_before(first, last)
    for key, task in last.tasks.items():
        if KTHREADD_PID in (task.ppid, key.tgid):
            continue
        earlier = first.tasks.get(key)
        cpu_ns = task.cpu_ns - (earlier.cpu_ns if earlier else 0)
        delay_ns = task.run_delay_ns - (earlier.run_delay_ns if earlier else 0)
        reaped_ns = task.reaped_ns - (earlier.reaped_ns if earlier else 0) - known_before.get(key.tgid, 0)
        yield TaskUse(
            key=key,
            ppid=task.ppid,
            uid=task.uid,
            comm=task.comm,
            cgroup_id=task.cgroup_id,
            cpu_pct=max(0.0, 100 * cpu_ns / length_ns),
            wait_pct=max(0.0, 100 * delay_ns / length_ns),
            reaped_pct=max(0.0, 100 * reaped_ns / length_ns),
        )


class History:
    """The last snapshots, as far back as the longest window needs."""

    def __init__(self, keep_ns: int) -> None:
        """`keep_ns` may be changed at any time: a window that becomes longer fills from then on."""
        self.keep_ns = keep_ns
        self._snapshots: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """Take a new snapshot and forget those that are too old."""
        self._snapshots.append(snapshot)
        while len(self._snapshots) > 2 and snapshot.time_ns - self._snapshots[1].time_ns >= self.keep_ns:  # noqa: PLR2004 # a window needs two
            self._snapshots.popleft()

    def window(self, length_ns: int) -> Window | None:
        """The window that ends now and is at least `length_ns` long; None until enough was seen."""
        if not self._snapshots:
            return None
        last = self._snapshots[-1]
        for first in reversed(self._snapshots):
            # A tenth of slack: the ticks of a 1 s timer are not exactly 1 s apart.
            if last.time_ns - first.time_ns >= length_ns * 0.9:
                return window_of(first, last)
        return None
