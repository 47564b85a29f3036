"""Single tasks: policy, nice value and I/O priority of every thread of a program and of what it started.

For programs that share a cgroup which must not be split. It weighs only against who shares that cgroup (or, where
none is weighed, the session's autogroup): the effect is measured like any other.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from brainkernel.act import autogroup, cgroupfs
from brainkernel.act.procfs import family_of, is_same_process, read_members, read_threads, start_of
from brainkernel.act.routes.protocol import GONE, Fate, Undone, action_of
from brainkernel.act.scheduling import IO_NONE, Scheduling, nice_of, scheduling_of
from brainkernel.model import CLOCK_TICK_NS, Action, Change, Limit, Refusal, ReleaseResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from brainkernel.act.host import Host
    from brainkernel.act.ledger import Entry
    from brainkernel.act.procfs import Member, PidLock
    from brainkernel.act.routes.protocol import Patience, Wanted
    from brainkernel.model import ProcessKey

MAX_THREADS = 2048  # each is a line of the ledger and three system calls
_PASSES = 8  # a program that forks faster than it can be followed is tried again later
_IO_DEFAULTS = (IO_NONE, 2 << 13 | 4)  # kernels differ in how they spell "none of its own"
_THREAD = re.compile(r"thread (\d+)@(\d+) of (\d+)")


class TaskRoute:
    """Implements `LimitRoute` by sched_setscheduler(2), setpriority(2) and ioprio_set(2)."""

    def __init__(self, host: Host, patience: Patience) -> None:
        """Both are the caller's."""
        self._host = host
        self._patience = patience

    def plan(self, wanted: Wanted) -> Action | Refusal:
        """Every thread that has the values it was born with; who has others arranged them, and keeps them."""
        place, limit, notes = wanted.place, *_possible(wanted.limit)
        if scheduling_of(limit).nice == 0:
            return Refusal(rule="no_effect", reason=f"{wanted.limit} is nothing that single tasks can have")
        after = str(scheduling_of(limit))
        found = [(name, now) for name, now in self._threads(member.key for member in wanted.plan.move) if _is_plain(now)]
        if not found:
            return Refusal(rule="decided_by_a_person", reason="all its threads have settings of their own")
        if len(found) > MAX_THREADS:
            return _too_many()
        changes = (*(Change(name, str(now), after) for name, now in found), *self._autogroup_changes(wanted, limit))
        if place.limit_files.get("cpu.weight"):
            notes = (*notes, f"{place.cgroup} has a CPU weight as a whole: this one counts inside of it only")
        unit = place.unit.name if place.unit else ""
        return action_of(replace(wanted, limit=limit), changes, unit=unit, cgroup=place.cgroup, cgroup_id=place.cgroup_id, notes=notes)

    def replan(self, entry: Entry, limit: Limit) -> Action | Refusal:
        """Who was limited and still lives, and who joined since; with the same limit it only takes these in."""
        before = entry.action
        limit, notes = _possible(limit)
        grown = self._newcomers(entry)
        if limit == before.limit and not grown:
            return Refusal(rule="no_effect", reason=f"{before.comm} has the strongest limit that single tasks can have: {limit}")
        if self._is_taken(entry):
            return Refusal(rule="foreign", reason=f"somebody else changed how {before.comm} is scheduled")
        after, first = str(scheduling_of(limit)), _first_before(before)
        threads = [replace(change, after=after) for change in before.changes if self._is_ours(entry, change)]
        # Born under our limit, they would never have had these values without it.
        threads += [Change(name, first if str(now) in _ours(entry) else str(now), after) for name, now in grown.items()]
        if len(threads) > MAX_THREADS:
            return _too_many()
        groups = [replace(change, after=str(nice_of(limit))) for change in before.changes if not _THREAD.fullmatch(change.name)]
        moved = dict.fromkeys((*before.moved, *(member.key for member in self._family(before))))
        earlier = tuple(sorted(_ours(entry) - {after}))
        return replace(before, limit=limit, changes=(*threads, *groups), moved=tuple(moved), notes=notes, earlier=earlier)

    def apply(self, action: Action, lock: PidLock, _wanted: Wanted | None) -> Action | Refusal:
        """Thread after thread; one that ended meanwhile is passed over."""
        for change in action.changes:
            if (match := _THREAD.fullmatch(change.name)) is None:
                if not self._set_autogroup(change.name, int(change.after)):
                    return Refusal(rule="read_back", reason=f"the kernel does not take the nice value of {change.name}")
                continue
            tid, wanted = int(match[1]), Scheduling.of(change.after)
            assert wanted is not None  # noqa: S101 # `plan` wrote it
            # Between this look and the write the number would have to be given to another thread: after 4 million others.
            if self._lives(change.name) and self._host.scheduler.write(tid, wanted):
                now = self._host.scheduler.read(tid)
                if now is not None and now != wanted:
                    return Refusal(rule="read_back", reason=f"thread {tid} has {now} and not {wanted}")
        return action if lock.holds() else GONE

    def read_back(self, entry: Entry) -> Fate:
        """By the target's first thread and the autogroups: what a program does to its other threads is its own affair."""
        if not is_same_process(self._host.proc, entry.action.target):
            return Fate.ENDED
        if self._is_taken(entry):
            return Fate.CHANGED
        limited = scheduling_of(entry.action.limit)
        return Fate.GREW if any(now != limited for now in self._newcomers(entry).values()) else Fate.STANDS

    def undo(self, entry: Entry, *, last: bool) -> Undone:  # noqa: ARG002 # the same at any time
        """Thread after thread, until none has a value of ours: children are born with it as long as a parent has."""
        seen = foreign = False
        for _ in range(_PASSES):
            held, others = self._held(entry)
            foreign |= others
            if not held:
                break
            seen = True
            for name, back in held.items():
                self._host.scheduler.write(_tid_of(name), back)
        else:
            return Undone(ReleaseResult.FAILED, done=False)
        for change in entry.action.changes:
            if not _THREAD.fullmatch(change.name):
                found = self._undo_autogroup(entry, change)
                if found is ReleaseResult.FAILED:
                    return Undone(found, done=False)
                foreign |= found is ReleaseResult.FOREIGN
                seen |= found is ReleaseResult.RESTORED
        if foreign:
            return Undone(ReleaseResult.FOREIGN)
        return Undone(ReleaseResult.RESTORED if seen or self._any_lives(entry) else ReleaseResult.GONE)

    def _held(self, entry: Entry) -> tuple[dict[str, Scheduling], bool]:
        # The threads that have a value of ours, with the one to restore; and whether one of them has a third.
        held: dict[str, Scheduling] = {}
        foreign = False
        ours = _ours(entry)
        for change in entry.action.changes:
            if not _THREAD.fullmatch(change.name) or not self._lives(change.name):
                continue
            now, before = self._host.scheduler.read(_tid_of(change.name)), Scheduling.of(change.before)
            if now is None or before is None or now == before:
                continue
            if str(now) in ours:
                held[change.name] = before
            else:
                foreign = True
        first = Scheduling.of(_first_before(entry.action)) or Scheduling()
        return held | {name: first for name, now in self._newcomers(entry).items() if str(now) in ours}, foreign

    def _newcomers(self, entry: Entry) -> dict[str, Scheduling]:
        # Threads of the family that the ledger does not name: plain ones, and those born with our values.
        action, ours = entry.action, _ours(entry)
        known = {change.name for change in action.changes}
        family = self._family(action)
        found = dict(self._threads(member.key for member in family))
        grown = {name: now for name, now in found.items() if name not in known and (_is_plain(now) or str(now) in ours)}
        # Orphans: their parent ended, so that lineage does not tell; their values and their age do.
        names = {member.key for member in family}
        orphans = (
            member.key
            for member in self._cgroup_members(action)
            if member.key not in names and member.key.start_ns + CLOCK_TICK_NS >= action.started_ns
        )
        return grown | {name: now for name, now in self._threads(orphans) if name not in known and str(now) in ours}

    def _family(self, action: Action) -> tuple[Member, ...]:
        members = self._cgroup_members(action)
        limited = {action.target, *action.moved}
        roots = [member.key for member in members if member.key in limited]
        return tuple({member.key: member for root in roots for member in family_of(root, members)}.values())

    def _cgroup_members(self, action: Action) -> tuple[Member, ...]:
        pids: Iterable[int] = {key.tgid for key in (action.target, *action.moved)}
        with cgroupfs.open_cgroup(self._host.cgroup, action.cgroup) as cgroup:
            if cgroup is not None and cgroup.id == action.cgroup_id:
                pids = {*pids, *cgroupfs.pids_below(self._host.cgroup, action.cgroup)}
        return read_members(self._host.proc, pids)

    def _threads(self, keys: Iterable[ProcessKey]) -> Iterator[tuple[str, Scheduling]]:
        for key in keys:
            for tid, start in read_threads(self._host.proc, key.tgid):
                now = self._host.scheduler.read(tid)
                if now is not None:
                    yield f"thread {tid}@{start} of {key.tgid}", now

    def _lives(self, name: str) -> bool:
        match = _THREAD.fullmatch(name)
        return match is not None and start_of(self._host.proc / match[3] / "task" / match[1]) == int(match[2])

    def _is_ours(self, entry: Entry, change: Change) -> bool:
        # Whether a thread lives and still has what we or its birth gave it; a third value is its own affair.
        if not self._lives(change.name):
            return False
        now = self._host.scheduler.read(_tid_of(change.name))
        return now is not None and str(now) in _ours(entry) | {change.before}

    def _any_lives(self, entry: Entry) -> bool:
        return any(self._lives(change.name) for change in entry.action.changes)

    def _is_taken(self, entry: Entry) -> bool:
        # Whether the target's first thread, or an autogroup, has another value than ours.
        action = entry.action
        for change in action.changes:
            match = _THREAD.fullmatch(change.name)
            if match is None:
                nice = self._autogroup_nice(change.name, (key.tgid for key in action.moved))
                if nice is not None and str(nice) not in entry.written(change.name):
                    return True
            elif int(match[1]) == action.target.tgid and self._lives(change.name):
                now = self._host.scheduler.read(action.target.tgid)
                if now is not None and str(now) not in entry.written(change.name):
                    return True
        return False

    def _autogroup_changes(self, wanted: Wanted, limit: Limit) -> list[Change]:
        # Nice counts inside of an autogroup only. Where ours alone live in one, the group itself is made nice.
        place = wanted.place
        if not autogroup.are_in_use(self._host.proc) or place.limit_files.get("cpu.weight"):
            return []
        ours = {member.key.tgid for member in (*wanted.plan.move, *wanted.plan.wrappers)}
        groups = {group for member in wanted.plan.move if (group := autogroup.read_autogroup(self._host.proc, member.key.tgid))}
        return [
            Change(group.name, str(group.nice), str(nice_of(limit)))
            for group in sorted(groups)
            if group.nice == 0 and set(autogroup.members_of(self._host.proc, group.name)) <= ours
        ]

    def _autogroup_nice(self, name: str, tgids: Iterable[int] | None = None) -> int | None:
        # Any member tells. Who they are, only a look at every process of the host does: not for each second.
        for tgid in autogroup.members_of(self._host.proc, name) if tgids is None else tgids:
            group = autogroup.read_autogroup(self._host.proc, tgid)
            if group is not None and group.name == name:
                return group.nice
        return None

    def _set_autogroup(self, name: str, nice: int) -> bool:
        def done() -> bool:
            members = autogroup.members_of(self._host.proc, name)
            if not members:
                return True
            file = self._host.proc / str(members[0]) / "autogroup"
            return self._host.scheduler.write_autogroup(file, nice) and self._autogroup_nice(name) in (nice, None)

        return self._patience.until(done)

    def _undo_autogroup(self, entry: Entry, change: Change) -> ReleaseResult:
        nice = self._autogroup_nice(change.name)
        if nice is None:
            return ReleaseResult.GONE
        if str(nice) == change.before:
            return ReleaseResult.RESTORED
        if str(nice) not in entry.written(change.name):
            return ReleaseResult.FOREIGN
        return ReleaseResult.RESTORED if self._set_autogroup(change.name, int(change.before)) else ReleaseResult.FAILED


def _possible(limit: Limit) -> tuple[Limit, tuple[str, ...]]:
    # What single tasks can have of a limit, and what is left out.
    notes = []
    possible = Limit(cpu_weight=limit.cpu_weight)
    if limit.cpu_quota_pct is not None:
        notes.append(f"cpu_quota={limit.cpu_quota_pct:g}% is not to be had for single tasks: idle instead")
        possible = Limit(cpu_weight=0)
    if limit.io_weight is not None:
        notes.append("io_weight is left out: single tasks get the lowest I/O priority instead")
    if limit.memory_high_bytes is not None:
        notes.append("memory_high is left out: it is not to be had for single tasks")
    return possible, tuple(notes)


def _too_many() -> Refusal:
    return Refusal(rule="too_many", reason=f"it has more than {MAX_THREADS} threads")


def _is_plain(now: Scheduling) -> bool:
    return replace(now, io=IO_NONE) == Scheduling() and now.io in _IO_DEFAULTS


def _ours(entry: Entry) -> set[str]:
    actions = [record.action for record in entry.records if record.action]
    after = {change.after for action in actions for change in action.changes if _THREAD.fullmatch(change.name)}
    return after.union(*(action.earlier for action in actions))


def _first_before(action: Action) -> str:
    return next((change.before for change in action.changes if _THREAD.fullmatch(change.name)), str(Scheduling()))


def _tid_of(name: str) -> int:
    match = _THREAD.fullmatch(name)
    assert match is not None  # noqa: S101 # the callers matched it
    return int(match[1])
