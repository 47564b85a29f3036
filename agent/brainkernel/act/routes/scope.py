"""A scope of its own for one program out of a login session, in the same slice, so that the user's own limits keep holding.

There is no way back into the session: released, the processes stay in the scope, which limits nothing then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs
from brainkernel.act.procfs import family_of, read_members
from brainkernel.act.routes.protocol import action_of
from brainkernel.act.routes.unit import UnitRoute, unlimited_changes, without_effect
from brainkernel.act.systemd import ScopeRequest
from brainkernel.errors import ActError
from brainkernel.model import Limit

if TYPE_CHECKING:
    from brainkernel.act.procfs import Member, PidLock
    from brainkernel.act.routes.protocol import Wanted
    from brainkernel.act.systemd import UnitState
    from brainkernel.model import Action, ProcessKey, Refusal

SCOPE_PREFIX = "brainkernel-"
_MOVE_ATTEMPTS = 3  # one process that ended fails the whole call; a hog's children come and go


class ScopeRoute(UnitRoute):
    """Implements `LimitRoute` by StartTransientUnit(PIDs=...); once the scope is there it is a unit like any other."""

    def plan(self, wanted: Wanted) -> Action | Refusal:
        """A scope without any limit, and then the properties on it."""
        unit = wanted.place.unit
        assert unit is not None  # noqa: S101 # this route is chosen for units alone
        limit, notes = self._honoured(wanted.limit, unit.control_group, wanted.place.user_uid, frozenset())
        if limit == Limit():
            return without_effect(notes)
        # Where its cgroup will be is known once it is there.
        name, wanted = scope_name_of(wanted.place.target.key), replace(wanted, limit=limit)
        return action_of(wanted, unlimited_changes(limit), unit=name, cgroup="", cgroup_id=0, notes=notes)

    def apply(self, action: Action, lock: PidLock, wanted: Wanted | None) -> Action | Refusal:
        """Move them, unless this is a further step; then set the properties."""
        return super().apply(action if wanted is None else self._moved(action, wanted), lock, wanted)

    def _honoured(self, limit: Limit, cgroup: str, user_uid: int | None, ours: frozenset[str]) -> tuple[Limit, tuple[str, ...]]:
        # The memory that a program holds stays charged to the cgroup it came from: the scope's would not see it.
        possible, notes = super()._honoured(replace(limit, memory_high_bytes=None), cgroup, user_uid, ours)
        if limit.memory_high_bytes is None:
            return possible, notes
        return possible, ("memory_high is left out: what the program holds stays charged to its session", *notes)

    def _moved(self, action: Action, wanted: Wanted) -> Action:
        place = wanted.place
        unit = place.unit
        assert unit is not None  # noqa: S101 # this route is chosen for units alone
        manager = self._managers.of(place.user_uid)
        family: tuple[Member, ...] = wanted.plan.move
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
            return cgroupfs.read_path(self._host.proc, action.target.tgid) == state.control_group

        if not self._patience.until(there):
            msg = f"systemd did not put the process into {action.unit}"
            raise ActError(msg)
        path = states[-1].control_group
        found = cgroupfs.read_limits(self._host.cgroup, path)
        moved = tuple(member.key for member in family if cgroupfs.read_path(self._host.proc, member.key.tgid) == path)
        return replace(action, cgroup=path, cgroup_id=found[0] if found else 0, moved=moved)


def scope_name_of(key: ProcessKey) -> str:
    """The scope for one process: unique, since no two processes share pid and start."""
    return f"{SCOPE_PREFIX}{key.tgid}-{key.start_ns}.scope"
