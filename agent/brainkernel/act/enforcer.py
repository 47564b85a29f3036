"""One limit from decision to read-back, and its steps. Blocking; `Limiter` runs it on its own thread."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs, dropins
from brainkernel.act.bus import BusError
from brainkernel.act.place import read_place
from brainkernel.act.procfs import PidLock, family_of, lock_process, read_members, text_of
from brainkernel.act.route import route_of, scope_name_of
from brainkernel.act.systemd import CPU_PROPERTIES, IDLE_SINCE, NOT_SET, ScopeRequest, UnitState
from brainkernel.act.undo import Undo
from brainkernel.errors import ActError
from brainkernel.escape import escaped
from brainkernel.model import Action, Change, Limit, Refusal, ReleaseResult, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from brainkernel.act.ledger import Ledger
    from brainkernel.act.place import Place, Protection
    from brainkernel.act.procfs import Host, Member
    from brainkernel.act.route import Plan
    from brainkernel.act.systemd import Managers
    from brainkernel.clock import Clock
    from brainkernel.model import Decision

_MOVE_ATTEMPTS = 3  # one process that ended fails the whole call; a hog's children come and go


@dataclass(frozen=True, slots=True)
class Patience:
    """How long systemd may take to do what it agreed to, and how to wait for it."""

    deadline_s: float = 2.0
    sleep: Callable[[float], None] = time.sleep

    def until(self, done: Callable[[], bool]) -> bool:
        """Look until it is done; False if it never was."""
        pause, waited = 0.01, 0.0
        while not done():
            if waited >= self.deadline_s:
                return False
            self.sleep(pause)
            waited += pause
            pause = min(2 * pause, 0.2)
        return True


class Enforcer:
    """Applies, steps and releases limits, each put down in the ledger first.

    No method raises for what the host does: what cannot be done is a `Refusal` with its rule, and what was begun
    is undone before the refusal is returned. If even that fails, the limit stays in `ledger.live`.
    """

    def __init__(self, *, host: Host, managers: Managers, ledger: Ledger, protection: Protection, clock: Clock, patience: Patience) -> None:
        """All of it is the caller's; nothing is read or written yet."""
        self._host = host
        self._managers = managers
        self.ledger = ledger
        self._protection = protection
        self._clock = clock
        self._patience = patience
        self.undo = Undo(host, managers, ledger, patience)

    def apply(self, decision: Decision) -> Action | Refusal:
        """Limit the decision's target by the route that fits, or say why not."""
        if not decision.acts or decision.limit is None:
            return Refusal(rule="mode", reason="the decision does not allow to write")
        if decision.id in self.ledger.live:
            return Refusal(rule="already_limited", reason="this decision was carried out before")
        try:
            with lock_process(self._host, decision.suspect.key) as lock:
                found = _GONE if lock is None else self._apply_to(decision, decision.limit, lock)
        except (ActError, OSError) as error:
            found = _refusal_of(error)
        if isinstance(found, Action) or decision.id not in self.ledger.live:
            return found
        # Begun: the intent is down, and it may or may not have been written.
        if self.undo.release(decision.id) is ReleaseResult.FAILED:
            return replace(found, reason=f"{found.reason}; and it could not yet be undone")
        return found

    def step(self, action_id: int, limit: Limit) -> Action | Refusal:
        """Replace the limit of an action by another one.

        After a refusal by `systemd_version` the old limit stands; after any other the old one, the new one, or
        something between: the caller releases the action.
        """
        entry = self.ledger.live.get(action_id)
        if entry is None:
            return Refusal(rule="gone", reason="the limit ended")
        before = entry.action
        try:
            with lock_process(self._host, before.target) as lock:
                if lock is None:
                    return _GONE
                if (refusal := _too_old(limit, self._managers.of(before.user_uid).version())) is not None:
                    return refusal
                if self.undo.is_foreign(entry):
                    return Refusal(rule="foreign", reason=f"somebody else changed {before.unit}")
                action = replace(before, limit=limit, changes=_stepped(before, limit))
                self.ledger.intend(action)
                return self._written(action, lock)
        except (ActError, OSError) as error:
            return _refusal_of(error)

    def _apply_to(self, decision: Decision, limit: Limit, lock: PidLock) -> Action | Refusal:
        place = read_place(self._host, self._managers, decision.suspect.key, self._protection)
        if place is None:
            return _GONE
        if (refusal := self._already_limited(place)) is not None:
            return refusal
        plan = route_of(place)
        if plan.route is Route.REFUSE:
            return Refusal(rule=plan.rule, reason=plan.reason)
        manager = self._managers.of(place.user_uid)
        if (refusal := _too_old(limit, manager.version())) is not None:
            return refusal
        action = self._intended(decision, limit, place, plan)
        self.ledger.intend(action)
        if plan.route is Route.SCOPE:
            action = self._moved(action, place, plan)
        return self._written(action, lock)

    def _already_limited(self, place: Place) -> Refusal | None:
        for entry in self.ledger.live.values():
            action = entry.action
            same_unit = place.unit is not None and (action.unit, action.user_uid) == (place.unit.name, place.user_uid)
            if same_unit or action.target == place.target.key:
                return Refusal(rule="already_limited", reason=f"{action.unit} is under limit {action.id} already")
        return None

    def _intended(self, decision: Decision, limit: Limit, place: Place, plan: Plan) -> Action:
        unit = place.unit
        assert unit is not None  # noqa: S101 # a plan that is not REFUSE has one
        own = plan.route is Route.UNIT
        configured: Mapping[str, int] = dict.fromkeys(CPU_PROPERTIES, NOT_SET)
        files: Mapping[str, str] = {}
        kept: tuple[Change, ...] = ()
        if own:
            configured, files, kept = unit.cpu, place.cpu_files, self._kept_dropins(unit, place.user_uid)
        now = self._clock.boot_ns()
        return Action(
            id=decision.id,
            target=place.target.key,
            comm=escaped(place.target.comm),
            route=plan.route,
            unit=unit.name if own else scope_name_of(place.target.key),
            cgroup=unit.control_group if own else "",  # a scope's is known once it is there
            cgroup_id=place.unit_cgroup_id if own else 0,
            limit=limit,
            changes=(*_property_changes(limit, configured), *_file_changes(limit, files), *kept),
            moved=tuple(member.key for member in plan.move),
            user_uid=place.user_uid,
            started_ns=now,
            expires_ns=now + decision.lease_ns,
        )

    def _kept_dropins(self, unit: UnitState, user_uid: int | None) -> tuple[Change, ...]:
        # An administrator's own drop-in of the same name will be overwritten by systemd: it is not ours to remove.
        kept = []
        for path in unit.dropins:
            if dropins.property_of(self._host.run, user_uid, path) is None:
                continue
            text = dropins.read_dropin(self._host.run.joinpath(path), user_uid)
            if text is not None:
                kept.append(Change(path, text, text))
        return tuple(kept)

    def _moved(self, action: Action, place: Place, plan: Plan) -> Action:
        unit = place.unit
        assert unit is not None  # noqa: S101 # a plan that is not REFUSE has one
        manager = self._managers.of(place.user_uid)
        family: tuple[Member, ...] = plan.move
        for _ in range(_MOVE_ATTEMPTS):
            # Without limits: in its unit file they would come back at a daemon-reload after the release.
            request = ScopeRequest(
                name=action.unit,
                description=f"limited by BrainKernel: {action.comm}",
                slice=unit.slice,
                tgids=tuple(member.key.tgid for member in family),
                tasks_max=unit.tasks_max,
            )
            if manager.start_scope(request):
                break
            pids = cgroupfs.pids_below(self._host.cgroup, unit.control_group)
            family = family_of(place.target.key, read_members(self._host.proc, pids))
            if not family:
                msg = "the process ended before it could be moved"
                raise ActError(msg)
        else:
            msg = f"its processes ended faster than {action.unit} could be made of them"
            raise ActError(msg)
        return self._arrived(action, family)

    def _arrived(self, action: Action, family: tuple[Member, ...]) -> Action:
        # The job that moves them runs after the call returned.
        manager = self._managers.of(action.user_uid)
        states: list[UnitState] = []

        def there() -> bool:
            state = manager.unit(action.unit)
            if state is None or not state.active or not state.control_group:
                return False
            states.append(state)
            return self._cgroup_of(action.target.tgid) == state.control_group

        if not self._patience.until(there):
            msg = f"systemd did not put the process into {action.unit}"
            raise ActError(msg)
        path = states[-1].control_group
        found = cgroupfs.read_cpu(self._host.cgroup, path)
        moved = tuple(member.key for member in family if self._cgroup_of(member.key.tgid) == path)
        return replace(action, cgroup=path, cgroup_id=found[0] if found else 0, moved=moved)

    def _cgroup_of(self, tgid: int) -> str | None:
        return cgroupfs.path_of(text_of(self._host.proc / str(tgid) / "cgroup") or "")

    def _written(self, action: Action, lock: PidLock) -> Action | Refusal:
        manager = self._managers.of(action.user_uid)
        values = {change.name: int(change.after) for change in action.changes if change.name in CPU_PROPERTIES}
        if not manager.set_cpu(action.unit, values):
            return Refusal(rule="gone", reason=f"{action.unit} ended")
        if not self._patience.until(lambda: self._stands(action)):
            return Refusal(rule="read_back", reason=f"{action.cgroup} does not show the limit")
        state = manager.unit(action.unit)
        if not lock.holds() or state is None:
            return _GONE
        known = {change.name for change in action.changes}
        new = [path for path in state.dropins if path not in known and dropins.property_of(self._host.run, action.user_uid, path)]
        action = replace(action, changes=(*action.changes, *(Change(path, "", "") for path in new)))
        self.ledger.applied(action)
        return action

    def _stands(self, action: Action) -> bool:
        found = cgroupfs.read_cpu(self._host.cgroup, action.cgroup)
        if found is None or found[0] != action.cgroup_id:
            return False
        files = [change for change in action.changes if change.name in cgroupfs.CPU_FILES]
        return all(cgroupfs.same_value(change.name, found[1].get(change.name), change.after) for change in files)


_GONE = Refusal(rule="gone", reason="the process ended")


def _refusal_of(error: ActError | OSError) -> Refusal:
    return Refusal(rule="systemd" if isinstance(error, BusError) else "act", reason=str(error))


def _too_old(limit: Limit, version: int) -> Refusal | None:
    if limit.cpu_weight == 0 and version < IDLE_SINCE:
        return Refusal(rule="systemd_version", reason=f"systemd {version} has no CPUWeight=idle; it came with {IDLE_SINCE}")
    return None


def _values_of(limit: Limit, configured: Mapping[str, int]) -> Mapping[str, int]:
    values = dict(configured)
    if limit.cpu_weight is not None:
        values["CPUWeight"] = limit.cpu_weight
    if limit.cpu_quota_pct is not None:
        values["CPUQuotaPerSecUSec"] = cgroupfs.quota_us_of(limit.cpu_quota_pct)
    return values


def _property_changes(limit: Limit, configured: Mapping[str, int], touched: frozenset[str] = frozenset()) -> tuple[Change, ...]:
    after = _values_of(limit, configured)
    names = [name for name in CPU_PROPERTIES if after[name] != configured[name] or name in touched]
    return tuple(Change(name, str(configured[name]), str(after[name])) for name in names)


def _file_changes(limit: Limit, before: Mapping[str, str], touched: frozenset[str] = frozenset()) -> tuple[Change, ...]:
    # Absent before is "": the kernel's default, see cgroupfs.same_value.
    after = cgroupfs.expected_cpu(limit, before)
    names = [name for name in cgroupfs.CPU_FILES if not cgroupfs.same_value(name, before.get(name), after[name]) or name in touched]
    return tuple(Change(name, before.get(name, ""), after[name]) for name in names)


def _stepped(action: Action, limit: Limit) -> tuple[Change, ...]:
    # Always against the values before the first step, which are those to restore.
    was = {change.name: change for change in action.changes}
    configured = {name: int(was[name].before) if name in was else NOT_SET for name in CPU_PROPERTIES}
    files = {name: was[name].before for name in cgroupfs.CPU_FILES if name in was and was[name].before}
    touched = frozenset(was)
    others = tuple(change for change in action.changes if change.name not in CPU_PROPERTIES and change.name not in cgroupfs.CPU_FILES)
    return (*_property_changes(limit, configured, touched), *_file_changes(limit, files, touched), *others)
