"""The way back from a limit, from what the ledger holds alone. Doing it twice does no harm."""

from __future__ import annotations

import enum
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs, dropins
from brainkernel.act.procfs import is_same_process
from brainkernel.act.systemd import CPU_PROPERTIES, NOT_SET
from brainkernel.errors import ActError
from brainkernel.model import ReleaseResult

if TYPE_CHECKING:
    from brainkernel.act.enforcer import Patience
    from brainkernel.act.ledger import Entry, Ledger
    from brainkernel.act.procfs import Host
    from brainkernel.act.systemd import Managers, UnitState
    from brainkernel.model import Action, Change

FILES_OF = {"CPUWeight": ("cpu.weight", "cpu.idle"), "CPUQuotaPerSecUSec": ("cpu.max",)}

_log = logging.getLogger(__name__)


class Fate(enum.StrEnum):
    """What became of a limit since it was applied."""

    STANDS = "stands"
    ENDED = "ended"  # the process, or the cgroup it was in
    CHANGED = "changed"  # the cgroup shows other values than ours


class Undo:
    """Restores what the ledger says was there before."""

    def __init__(self, host: Host, managers: Managers, ledger: Ledger, patience: Patience) -> None:
        """All of it is the caller's."""
        self._host = host
        self._managers = managers
        self._ledger = ledger
        self._patience = patience
        self._stale: dict[int | None, set[str]] = {}  # units whose drop-ins we removed, by manager

    def release(self, action_id: int, *, last: bool = False) -> ReleaseResult:
        """End one limit. FAILED leaves it in the ledger, to be tried again.

        FOREIGN leaves it there as well where somebody wrote the cgroup past systemd: their value stays, while
        systemd still believes in ours and would set it at the unit's next start. It is to be released again once
        `is_elsewhere`, and with `last` when the agent ends: then systemd takes ours back, though theirs goes with it.
        """
        entry = self._ledger.live.get(action_id)
        if entry is None:
            return ReleaseResult.GONE
        try:
            result, done = self._restore(entry, last=last)
        except (ActError, OSError) as error:
            _log.warning("limit %d on %s is not released yet: %s", action_id, entry.action.unit, error)
            return ReleaseResult.FAILED
        if done:
            self._ledger.released(action_id, result)
        return result

    def is_elsewhere(self, entry: Entry) -> bool:
        """Whether the cgroup that the limit was set in is gone, its unit stopped or started anew."""
        found = cgroupfs.read_cpu(self._host.cgroup, entry.action.cgroup)
        return found is None or found[0] != entry.action.cgroup_id

    def fate_of(self, entry: Entry) -> Fate:
        """What became of it, by a look at files alone: cheap enough for every second. Raises OSError."""
        action = entry.action
        if not is_same_process(self._host.proc, action.target):
            return Fate.ENDED
        found = cgroupfs.read_cpu(self._host.cgroup, action.cgroup)
        if found is None or found[0] != action.cgroup_id:
            return Fate.ENDED
        files = [change for change in action.changes if change.name in cgroupfs.CPU_FILES]
        ours = all(cgroupfs.same_value(change.name, found[1].get(change.name), change.after) for change in files)
        return Fate.STANDS if ours else Fate.CHANGED

    def is_foreign(self, entry: Entry) -> bool:
        """Whether somebody else set a CPU value of the unit, be it one that we did not. Asks systemd; may raise ActError."""
        state = self._managers.of(entry.action.user_uid).unit(entry.action.unit)
        if state is None:
            return False
        touched = {change.name for change in _properties(entry.action)}
        added = any(value != NOT_SET for name, value in state.cpu.items() if name not in touched)  # none was, when we came
        return added or bool(_taken_in(entry, state)) or self._is_bypassed(entry, state)

    def reload(self) -> None:
        """Let systemd forget the drop-ins that were removed. Once, at the end: a reload costs PID 1 up to seconds.

        Left out where other edited unit files wait for a reload, which is then their owner's to do. Without it
        nothing is wrong but a warning in `systemctl status`.
        """
        for user_uid, names in self._stale.items():
            try:
                if others := self._managers.of(user_uid).reload_if_only(frozenset(names)):
                    _log.warning("no daemon-reload for %s: it would also load %s", ", ".join(names), ", ".join(sorted(others)))
            except ActError as error:
                _log.warning("no daemon-reload: %s", error)
        self._stale.clear()

    def _restore(self, entry: Entry, *, last: bool) -> tuple[ReleaseResult, bool]:
        action = entry.action
        manager = self._managers.of(action.user_uid)
        state = manager.unit(action.unit)
        if state is None:
            self._remove_dropins(entry, None)
            return ReleaseResult.GONE, True
        if not last and self._is_bypassed(entry, state):
            self._remove_dropins(entry, state)
            return ReleaseResult.FOREIGN, False
        taken = _taken_in(entry, state)
        back = {change.name: int(change.before) for change in _properties(action) if change.name not in taken}
        if not self._is_restored(action, state, back):
            if not manager.set_cpu(action.unit, back):
                self._remove_dropins(entry, None)
                return ReleaseResult.GONE, True
            if not self._patience.until(lambda: self._is_restored(action, manager.unit(action.unit), back)):
                _log.warning("%s does not show its old values yet", action.unit)
                return ReleaseResult.FAILED, False
        self._remove_dropins(entry, manager.unit(action.unit))
        return ReleaseResult.FOREIGN if taken else ReleaseResult.RESTORED, True

    def _is_bypassed(self, entry: Entry, state: UnitState) -> bool:
        # Whether a file holds what neither systemd believes nor we wrote: set past systemd. Any change through it,
        # even of another property, would make it write all files of the cgroup again, theirs too.
        believed = cgroupfs.cpu_files_of(state.cpu["CPUWeight"], state.cpu["CPUQuotaPerSecUSec"])

        def explained() -> bool:
            found = cgroupfs.read_cpu(self._host.cgroup, state.control_group) if state.control_group else None
            return found is None or all(_is_known(entry, name, found[1].get(name), believed[name]) for name in believed)

        return not self._patience.until(explained)  # what an administrator set through it may be late as well

    def _is_restored(self, action: Action, state: UnitState | None, back: dict[str, int]) -> bool:
        if state is None:
            return True
        if any(state.cpu[name] != value for name, value in back.items()):
            return False
        # A unit that was restarted has a new cgroup with the same configuration: the same values are right.
        found = cgroupfs.read_cpu(self._host.cgroup, state.control_group) if state.control_group else None
        if found is None:
            return True
        files = [file for name in back for file in FILES_OF[name]]
        return all(
            cgroupfs.same_value(change.name, found[1].get(change.name), change.before) for change in action.changes if change.name in files
        )

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


def _properties(action: Action) -> list[Change]:
    return [change for change in action.changes if change.name in CPU_PROPERTIES]


def _is_known(entry: Entry, name: str, value: str | None, believed: str) -> bool:
    before = {change.before for change in entry.action.changes if change.name == name}
    return any(cgroupfs.same_value(name, value, known) for known in {believed} | before | entry.written(name))


def _taken_in(entry: Entry, state: UnitState) -> set[str]:
    # Properties that hold neither our value nor the one before us: an administrator's.
    return {
        change.name
        for change in _properties(entry.action)
        if str(state.cpu[change.name]) not in entry.written(change.name) | {change.before}
    }
