"""What a limit changes in the files of one cgroup, and whether they show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.act.cgroupfs import LIMIT_FILES, expected_files, read_limits, same_value
from brainkernel.act.procfs import is_same_process
from brainkernel.model import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from brainkernel.act.host import Host
    from brainkernel.model import Action, Limit


def file_changes(limit: Limit, before: Mapping[str, str], touched: frozenset[str] = frozenset()) -> tuple[Change, ...]:
    """The files that differ once the limit stands, and those of `touched`, which an earlier step changed.

    Absent before is "": the kernel's default, see cgroupfs.same_value.
    """
    after = expected_files(limit, before)
    names = [name for name in LIMIT_FILES if not same_value(name, before.get(name), after[name]) or name in touched]
    return tuple(Change(name, before.get(name, ""), after[name]) for name in names)


def stepped_files(changes: Iterable[Change], limit: Limit) -> tuple[Change, ...]:
    """The same for another step, always against the values before the first, which are those to restore."""
    was = {change.name: change.before for change in changes if change.name in LIMIT_FILES}
    return file_changes(limit, {name: before for name, before in was.items() if before}, frozenset(was))


def as_written(changes: Iterable[Change], files: Mapping[str, str]) -> bool:
    """Whether a cgroup's files show what was written."""
    return all(same_value(change.name, files.get(change.name), change.after) for change in changes if change.name in LIMIT_FILES)


def files_while_alive(host: Host, action: Action) -> Mapping[str, str] | None:
    """The files of the cgroup that was limited; None once that cgroup or the target ended."""
    if not is_same_process(host.proc, action.target):
        return None
    found = read_limits(host.cgroup, action.cgroup)
    return found[1] if found is not None and found[0] == action.cgroup_id else None
