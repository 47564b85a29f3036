"""A unit's own properties, set by the manager that owns it: the lightest route, and the only one with every knob."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs, dropins
from brainkernel.act.filechanges import as_written, file_changes, files_while_alive, stepped_files
from brainkernel.act.knobs import io_weight_on, strains, why_no_memory_high
from brainkernel.act.routes.protocol import GONE, Fate, Undone, action_of
from brainkernel.act.survivors import free_survivors
from brainkernel.act.systemd import DECISIVE_PROPERTIES, IDLE_SINCE, LIMIT_PROPERTIES, NOT_SET
from brainkernel.model import Action, Change, Limit, Refusal, ReleaseResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from brainkernel.act.host import Host
    from brainkernel.act.ledger import Entry
    from brainkernel.act.procfs import PidLock
    from brainkernel.act.routes.protocol import Patience, Wanted
    from brainkernel.act.systemd import Managers, UnitState

FILES_OF = {
    "CPUWeight": ("cpu.weight", "cpu.idle"),
    "CPUQuotaPerSecUSec": ("cpu.max",),
    "IOWeight": ("io.weight",),
    "MemoryHigh": ("memory.high",),
}
_log = logging.getLogger(__name__)


class UnitRoute:
    """Implements `LimitRoute` by SetUnitProperties(runtime=true)."""

    def __init__(self, host: Host, managers: Managers, patience: Patience) -> None:
        """All of it is the caller's."""
        self._host = host
        self._managers = managers
        self._patience = patience
        self._stale: dict[int | None, set[str]] = {}  # units whose drop-ins we removed, by manager

    def plan(self, wanted: Wanted) -> Action | Refusal:
        """The unit's properties and files, and the drop-ins that are there already."""
        place = wanted.place
        unit = place.unit
        assert unit is not None  # noqa: S101 # this route is chosen for units alone
        limit, notes = self._honoured(wanted.limit, unit.control_group, place.user_uid, frozenset())
        if limit == Limit():
            return without_effect(notes)
        changes = (
            *_property_changes(limit, unit.limits),
            *file_changes(limit, place.limit_files),
            *self._kept_dropins(unit, place.user_uid),
        )
        wanted = replace(wanted, limit=limit)
        return action_of(wanted, changes, unit=unit.name, cgroup=unit.control_group, cgroup_id=place.unit_cgroup_id, notes=notes)

    def replan(self, entry: Entry, limit: Limit) -> Action | Refusal:
        """Against the values before the first step; a refusal if somebody else set one meanwhile."""
        before = entry.action
        limit, notes = self._honoured(limit, before.cgroup, before.user_uid, frozenset(change.name for change in before.changes))
        if limit == Limit():
            return without_effect(notes)
        if self._is_foreign(entry):
            return Refusal(rule="foreign", reason=f"somebody else changed {before.unit}")
        return replace(before, limit=limit, changes=_stepped(before, limit), notes=notes)

    def apply(self, action: Action, lock: PidLock, _wanted: Wanted | None) -> Action | Refusal:
        """Let systemd set the properties, and wait until the cgroup shows them."""
        manager = self._managers.of(action.user_uid)
        values = {change.name: int(change.after) for change in _properties(action)}
        if not manager.set_limits(action.unit, values):
            return Refusal(rule="gone", reason=f"{action.unit} ended")
        if not self._patience.until(lambda: self._shows(action)):
            return Refusal(rule="read_back", reason=f"{action.cgroup} does not show the limit")
        state = manager.unit(action.unit)
        if not lock.holds() or state is None:
            return GONE
        known = {change.name for change in action.changes}
        new = [path for path in state.dropins if path not in known and dropins.property_of(self._host.run, action.user_uid, path)]
        return replace(action, changes=(*action.changes, *(Change(path, "", "") for path in new)))

    def read_back(self, entry: Entry) -> Fate:
        """By the files of the cgroup."""
        action = entry.action
        if (files := files_while_alive(self._host, action)) is None:
            return Fate.ENDED
        if not as_written(action.changes, files):
            return Fate.CHANGED
        if action.limit.memory_high_bytes is not None and strains(self._host.cgroup, action.cgroup):
            return Fate.STRAINS
        return Fate.STANDS

    def undo(self, entry: Entry, *, last: bool) -> Undone:
        """Let systemd set the old values, then remove the drop-ins that it leaves.

        FOREIGN stays in the ledger where somebody wrote the cgroup past systemd: their value stays, while systemd
        still believes in ours and would set it at the unit's next start. With `last`, as the agent ends, systemd
        takes ours back, though theirs goes with it.
        """
        action = entry.action
        if action.user_uid is not None and not (self._host.run / f"user/{action.user_uid}").exists():
            return Undone(ReleaseResult.GONE)  # logged out: with their manager went all that it ran, and the drop-ins in that directory
        state = self._managers.of(action.user_uid).unit(action.unit)
        if state is None:
            return self._vanished(entry)
        if not last and self._is_bypassed(entry, state):
            self._remove_dropins(entry, state)
            return Undone(ReleaseResult.FOREIGN, done=False)
        return self._restored(entry, state)

    def _restored(self, entry: Entry, state: UnitState) -> Undone:
        action, manager = entry.action, self._managers.of(entry.action.user_uid)
        taken = _taken_in(entry, state)
        back = {change.name: int(change.before) for change in _properties(action) if change.name not in taken}
        if not self._is_restored(action, state, back):
            if not manager.set_limits(action.unit, back):
                return self._vanished(entry)
            if not self._patience.until(lambda: self._is_restored(action, manager.unit(action.unit), back)):
                _log.warning("%s does not show its old values yet", action.unit)
                return Undone(ReleaseResult.FAILED, done=False)
        if (now := manager.unit(action.unit)) is None:
            return self._vanished(entry)
        self._remove_dropins(entry, now)
        if not now.active:
            free_survivors(self._host, manager, self._patience, entry, now)
        return Undone(ReleaseResult.FOREIGN if taken else ReleaseResult.RESTORED)

    def take_stale(self) -> dict[int | None, set[str]]:
        """The units whose drop-ins were removed since the last call, by manager: it does not know yet."""
        stale, self._stale = self._stale, {}
        return stale

    def _honoured(self, limit: Limit, cgroup: str, user_uid: int | None, ours: frozenset[str]) -> tuple[Limit, tuple[str, ...]]:
        # What of a limit this host can keep. A knob without effect is not set: it would switch a controller on for nothing.
        notes = []
        if limit.cpu_weight == 0 and (version := self._managers.of(user_uid).version()) < IDLE_SINCE:
            notes.append(f"cpu_weight=1 instead of idle: systemd {version} has no CPUWeight=idle; it came with {IDLE_SINCE}")
            limit = replace(limit, cpu_weight=1)
        if limit.io_weight is not None:
            heeded_by, why = io_weight_on(self._host, cgroup)
            notes.append(f"io_weight={limit.io_weight} {f'is left out: {why}' if why else f'is heeded by {heeded_by}'}")
            limit = replace(limit, io_weight=None) if why else limit
        if limit.memory_high_bytes is not None and (why := why_no_memory_high(self._host, cgroup, ours="memory.high" in ours)):
            notes.append(f"memory_high={limit.memory_high_bytes >> 20}M is left out: {why}")
            limit = replace(limit, memory_high_bytes=None)
        return limit, tuple(notes)

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

    def _shows(self, action: Action) -> bool:
        found = cgroupfs.read_limits(self._host.cgroup, action.cgroup)
        return found is not None and found[0] == action.cgroup_id and as_written(action.changes, found[1])

    def _is_foreign(self, entry: Entry) -> bool:
        # Whether somebody else set a value of the unit, be it one that we did not.
        state = self._managers.of(entry.action.user_uid).unit(entry.action.unit)
        if state is None:
            return False
        touched = {change.name for change in _properties(entry.action)}
        added = any(state.limits[name] != NOT_SET for name in DECISIVE_PROPERTIES if name not in touched)  # none was, when we came
        return added or bool(_taken_in(entry, state)) or self._is_bypassed(entry, state)

    def _is_bypassed(self, entry: Entry, state: UnitState) -> bool:
        # Whether a file holds what neither systemd believes nor we wrote: set past systemd. Any change through it,
        # even of another property, would make it write all files of the cgroup again, theirs too.
        believed = cgroupfs.files_of(state.limits)
        looked_at = {*cgroupfs.CPU_FILES, *(change.name for change in entry.action.changes if change.name in cgroupfs.LIMIT_FILES)}

        def explained() -> bool:
            found = cgroupfs.read_limits(self._host.cgroup, state.control_group) if state.control_group else None
            return found is None or all(_is_known(entry, name, found[1].get(name), believed[name]) for name in looked_at)

        return not self._patience.until(explained)  # what an administrator set through it may be late as well

    def _is_restored(self, action: Action, state: UnitState | None, back: dict[str, int]) -> bool:
        if state is None:
            return True
        if any(state.limits[name] != value for name, value in back.items()):
            return False
        # A unit that was restarted has a new cgroup with the same configuration: the same values are right.
        # Of one that ended systemd writes none, whoever lives on in it: `free_survivors`.
        found = cgroupfs.read_limits(self._host.cgroup, state.control_group) if state.control_group and state.active else None
        if found is None:
            return True
        files = [file for name in back for file in FILES_OF[name]]
        return all(
            cgroupfs.same_value(change.name, found[1].get(change.name), change.before) for change in action.changes if change.name in files
        )

    def _vanished(self, entry: Entry) -> Undone:
        self._remove_dropins(entry, None)
        free_survivors(self._host, self._managers.of(entry.action.user_uid), self._patience, entry, None)
        return Undone(ReleaseResult.GONE)

    def _remove_dropins(self, entry: Entry, state: UnitState | None) -> None:
        action = entry.action
        kept = {change.name for change in action.changes if change.before}
        known = {change.name for change in action.changes if not change.before}
        for path in (known | set(state.dropins if state else ())) - kept:
            name = dropins.property_of(self._host.run, action.user_uid, path)
            if name is None:
                continue
            before = {change.before for change in action.changes if change.name == name}
            ours = [(name, int(value)) for value in entry.written(name) | before]
            try:
                removed = dropins.remove_dropin(Path(path), action.user_uid, ours)
            except OSError as error:
                # The limit is gone all the same; what stays is a setting of what was there before us.
                _log.warning("%s cannot be removed: %s; remove it and run systemctl daemon-reload", path, error)
                continue
            if removed:
                self._stale.setdefault(action.user_uid, set()).add(action.unit)


def without_effect(notes: tuple[str, ...]) -> Refusal:
    """Refuse a limit of which this host can keep nothing."""
    return Refusal(rule="no_effect", reason="; ".join(notes))


def _properties(action: Action) -> list[Change]:
    return [change for change in action.changes if change.name in LIMIT_PROPERTIES]


def _is_known(entry: Entry, name: str, value: str | None, believed: str) -> bool:
    before = {change.before for change in entry.action.changes if change.name == name}
    return any(cgroupfs.same_value(name, value, known) for known in {believed} | before | entry.written(name))


def _taken_in(entry: Entry, state: UnitState) -> set[str]:
    # Properties that hold neither our value nor the one before us: an administrator's.
    return {
        change.name
        for change in _properties(entry.action)
        if str(state.limits[change.name]) not in entry.written(change.name) | {change.before}
    }


def _values_of(limit: Limit, configured: Mapping[str, int]) -> Mapping[str, int]:
    values = dict(configured)
    if limit.cpu_weight is not None:
        values["CPUWeight"] = limit.cpu_weight
    if limit.cpu_quota_pct is not None:
        values["CPUQuotaPerSecUSec"] = cgroupfs.quota_us_of(limit.cpu_quota_pct)
    if limit.io_weight is not None:
        values["IOWeight"] = limit.io_weight
    if limit.memory_high_bytes is not None:
        values["MemoryHigh"] = limit.memory_high_bytes
    return values


def _property_changes(limit: Limit, configured: Mapping[str, int], touched: frozenset[str] = frozenset()) -> tuple[Change, ...]:
    after = _values_of(limit, configured)
    names = [name for name in LIMIT_PROPERTIES if after[name] != configured[name] or name in touched]
    return tuple(Change(name, str(configured[name]), str(after[name])) for name in names)


def _stepped(action: Action, limit: Limit) -> tuple[Change, ...]:
    was = {change.name: change for change in action.changes}
    configured = {name: int(was[name].before) if name in was else NOT_SET for name in LIMIT_PROPERTIES}
    others = tuple(change for change in action.changes if change.name not in LIMIT_PROPERTIES and change.name not in cgroupfs.LIMIT_FILES)
    return (*_property_changes(limit, configured, frozenset(was)), *stepped_files(action.changes, limit), *others)


def unlimited_changes(limit: Limit) -> tuple[Change, ...]:
    """The changes to a unit that nobody has configured: a new scope."""
    return (*_property_changes(limit, dict.fromkeys(LIMIT_PROPERTIES, NOT_SET)), *file_changes(limit, {}))
