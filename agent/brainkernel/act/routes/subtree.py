"""A subtree of our own, /brainkernel, for hosts with cgroup v2 that systemd does not run: the only route that writes cgroups.

Nobody owns the tree there, so that there is a way back: released, the processes return to where they came from.
"""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs
from brainkernel.act.filechanges import as_written, file_changes, files_while_alive, stepped_files
from brainkernel.act.knobs import io_weight_on
from brainkernel.act.procfs import family_of, is_same_process, read_members, text_of
from brainkernel.act.routes.protocol import GONE, Fate, Undone, action_of
from brainkernel.model import Action, Change, Limit, Refusal, ReleaseResult, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from brainkernel.act.host import Host
    from brainkernel.act.ledger import Entry
    from brainkernel.act.procfs import Member, PidLock
    from brainkernel.act.routes.protocol import Wanted
    from brainkernel.model import ProcessKey

TOP = "/brainkernel"
_ROOT_CONTROL = "/ cgroup.subtree_control"  # in the ledger: the root's, with what was there before the first limit
_PASSES = 8  # a program that forks faster than it can be followed is tried again later
_HOME = re.compile(r"cgroup of (\d+)")


class SubtreeRoute:
    """Implements `LimitRoute` by cgroup v2 files."""

    def __init__(self, host: Host, live: Callable[[], Iterable[Entry]]) -> None:
        """`live` are the limits that stand."""
        self._host = host
        self._live = live

    def plan(self, wanted: Wanted) -> Action | Refusal:
        """A leaf for the family, and the controllers on the way to it."""
        limit, notes, key = wanted.limit, [], wanted.place.target.key
        if limit.io_weight is not None:
            why = io_weight_on(self._host, "").why_not or "the io controller is not switched on for the whole host"
            notes.append(f"io_weight={limit.io_weight} is left out: {why}")
        if limit.memory_high_bytes is not None:
            notes.append("memory_high is left out: what the program holds stays charged to where it came from")
        limit = replace(limit, io_weight=None, memory_high_bytes=None)
        if limit == Limit():
            return Refusal(rule="no_effect", reason="; ".join(notes))
        leaf = f"{TOP}/limit-{key.tgid}-{key.start_ns}"
        homes = tuple(Change(f"cgroup of {member.key.tgid}", wanted.place.cgroup, leaf) for member in wanted.plan.move)
        changes = (Change(_ROOT_CONTROL, self._control_before(), "cpu"), *homes, *file_changes(limit, {}))
        return action_of(replace(wanted, limit=limit), changes, unit="", cgroup=leaf, cgroup_id=0, notes=tuple(notes))

    def replan(self, entry: Entry, limit: Limit) -> Action | Refusal:
        """Other values in the same leaf."""
        before = entry.action
        limit = replace(limit, io_weight=None, memory_high_bytes=None)
        if limit in (Limit(), before.limit):
            return Refusal(rule="no_effect", reason="nothing of it can be had in a subtree of our own")
        if self.read_back(entry) is Fate.CHANGED:
            return Refusal(rule="foreign", reason=f"somebody else changed {before.cgroup}")
        others = tuple(change for change in before.changes if change.name not in cgroupfs.LIMIT_FILES)
        return replace(before, limit=limit, changes=(*others, *stepped_files(before.changes, limit)))

    def apply(self, action: Action, lock: PidLock, wanted: Wanted | None) -> Action | Refusal:
        """Make the leaf and fill it, unless this is a further step; then write the values."""
        leaf = self._dir(action.cgroup)
        if wanted is not None:
            self._host.cgroups.make(self._dir(TOP))
            for directory in (self._host.cgroup, self._dir(TOP)):
                if "cpu" not in _words(directory / "cgroup.subtree_control"):
                    self._host.cgroups.write(directory / "cgroup.subtree_control", "+cpu")
            self._host.cgroups.make(leaf)
        for change in sorted(action.changes, key=_writing_order):
            # The kernel takes no weight for an idle group, and shows it as 0.
            if change.name in cgroupfs.LIMIT_FILES and (change.name, change.after) != ("cpu.weight", "0"):
                self._host.cgroups.write(leaf / change.name, change.after)
        if wanted is not None:
            action = self._filled(action, wanted)
        found = cgroupfs.read_limits(self._host.cgroup, action.cgroup)
        if found is None or not as_written(action.changes, found[1]):
            return Refusal(rule="read_back", reason=f"{action.cgroup} does not show the limit")
        if not lock.holds():
            return GONE
        return replace(action, cgroup_id=found[0])

    def read_back(self, entry: Entry) -> Fate:
        """By the files of the leaf, and that the target is still in it."""
        action = entry.action
        if (files := files_while_alive(self._host, action)) is None:
            return Fate.ENDED
        moved_on = cgroupfs.read_path(self._host.proc, action.target.tgid) != action.cgroup
        return Fate.CHANGED if moved_on or not as_written(action.changes, files) else Fate.STANDS

    def undo(self, entry: Entry, *, last: bool) -> Undone:  # noqa: ARG002 # the same at any time
        """Everybody back to where they came from, children to their parents' place; then the directories go."""
        action, leaf = entry.action, self._dir(entry.action.cgroup)
        home = next((change.before for change in action.changes if _HOME.fullmatch(change.name)), "/")
        lived = leaf.is_dir()
        for _ in range(_PASSES):
            pids = cgroupfs.pids_below(self._host.cgroup, action.cgroup) if leaf.is_dir() else ()
            if not pids:
                break
            for pid in pids:
                self._move_home(pid, home)
        if not self._host.cgroups.remove(leaf):
            return Undone(ReleaseResult.FAILED, done=False)
        foreign = self._host.cgroups.remove(self._dir(TOP)) and not self._restore_control(action)
        if foreign:
            return Undone(ReleaseResult.FOREIGN)
        return Undone(ReleaseResult.RESTORED if lived else ReleaseResult.GONE)

    def _filled(self, action: Action, wanted: Wanted) -> Action:
        family: tuple[Member, ...] = wanted.plan.move
        moved: list[ProcessKey] = []
        for _ in range(_PASSES):
            there = [member.key for member in family if is_same_process(self._host.proc, member.key)]
            moved += [key for key in there if self._move(key.tgid, self._dir(action.cgroup))]
            # Children born before their parent was moved are still where they were.
            left = read_members(self._host.proc, cgroupfs.pids_below(self._host.cgroup, wanted.place.cgroup))
            limited = {key.tgid for key in moved}
            family = tuple(child for member in left if member.ppid in limited for child in family_of(member.key, left))
            if not family:
                break
        return replace(action, moved=tuple(moved))

    def _move(self, pid: int, directory: Path) -> bool:
        try:
            self._host.cgroups.write(directory / "cgroup.procs", str(pid))
        except ProcessLookupError:
            return False
        return True

    def _move_home(self, pid: int, path: str) -> None:
        # Where they came from, or the nearest cgroup above it that is still there and takes processes: one that hands
        # controllers on to those below it does not, but for the root (cgroup-v2.rst, "No Internal Process Constraint").
        while path != "/":
            try:
                if (self._dir(path) / "cgroup.procs").exists():
                    self._move(pid, self._dir(path))
                    return
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EOPNOTSUPP):
                    raise
            path = path.rpartition("/")[0] or "/"
        self._move(pid, self._dir(path))

    def _restore_control(self, action: Action) -> bool:
        # False: somebody else needs by now what we had switched on.
        before = next((change.before for change in action.changes if change.name == _ROOT_CONTROL), "cpu")
        file = self._host.cgroup / "cgroup.subtree_control"
        if "cpu" in before.split() or "cpu" not in _words(file):
            return True
        try:
            self._host.cgroups.write(file, "-cpu")
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
        return True

    def _control_before(self) -> str:
        # The root's controllers before the first of our limits that stand.
        for entry in self._live():
            if entry.action.route is Route.SUBTREE:
                return next(change.before for change in entry.action.changes if change.name == _ROOT_CONTROL)
        return " ".join(_words(self._host.cgroup / "cgroup.subtree_control"))

    def _dir(self, path: str) -> Path:
        return self._host.cgroup / path.lstrip("/")


def _words(file: Path) -> list[str]:
    return (text_of(file) or "").split()


def _writing_order(change: Change) -> int:
    # cpu.idle=1 goes before a weight of 0 is shown, cpu.idle=0 before a weight is taken.
    return 0 if change.name == "cpu.idle" else 1
