"""Who lives on in the cgroup of a unit that ended (KillMode=process, systemd.kill(5)), under values of ours that nobody would take away.

systemd writes no cgroup of an inactive unit, and with 252 does not even know it any more (unit_prune_cgroup in its src/core/cgroup.c).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs
from brainkernel.act.procfs import read_members
from brainkernel.act.systemd import NOT_SET, ScopeRequest
from brainkernel.errors import ActError
from brainkernel.model import Route

if TYPE_CHECKING:
    from brainkernel.act.host import Host
    from brainkernel.act.ledger import Entry
    from brainkernel.act.routes.protocol import Patience
    from brainkernel.act.systemd import UnitController, UnitState

_MOVE_ATTEMPTS = 3  # one process that ended fails the whole call, and children are born meanwhile


def free_survivors(host: Host, manager: UnitController, patience: Patience, entry: Entry, state: UnitState | None) -> None:
    """Put them into a scope in the same slice, which limits nothing; no one if none lives there or no value there is ours.

    `state` is that of the unit that ended; None: it vanished. Raises ActError where the cgroup confines them beside CPU, which
    a move would undo, or may do so: then they stay, limited, until they end or the unit is started again.
    """
    action = entry.action
    for _ in range(_MOVE_ATTEMPTS):
        members = read_members(host.proc, cgroupfs.pids_below(host.cgroup, action.cgroup)) if _holds_ours(host, entry) else ()
        if not members:
            return
        if action.route is not Route.SCOPE and (state is None or state.bound):  # a scope of ours confines nobody
            bound = ", ".join(state.bound) if state else "what it did is not known any more"
            msg = f"{action.unit} ended, and who lives on in {action.cgroup} is confined by it ({bound}): they end, or it is started again"
            raise ActError(msg)
        first = members[0].key
        request = ScopeRequest(
            name=f"brainkernel-freed-{first.tgid}-{first.start_ns}.scope",
            description=f"freed by BrainKernel: left by {action.unit}",
            slice=PurePosixPath(action.cgroup).parent.name,
            tgids=tuple(member.key.tgid for member in members),
            tasks_max=state.tasks_max if state else NOT_SET,
        )
        if manager.start_scope(request):
            patience.until(lambda first=first: cgroupfs.read_path(host.proc, first.tgid) != action.cgroup)  # type: ignore[misc]
    msg = f"processes in {action.cgroup} of {action.unit}, which ended, cannot be moved out of it"
    raise ActError(msg)


def _holds_ours(host: Host, entry: Entry) -> bool:
    action = entry.action
    found = cgroupfs.read_limits(host.cgroup, action.cgroup)
    if found is None or found[0] != action.cgroup_id:
        return False
    return any(
        cgroupfs.same_value(change.name, found[1].get(change.name), value) and not cgroupfs.same_value(change.name, value, change.before)
        for change in action.changes
        if change.name in cgroupfs.LIMIT_FILES
        for value in entry.written(change.name)
    )
