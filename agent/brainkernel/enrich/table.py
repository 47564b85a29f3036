"""Who started whom: the process tree as it grew, which /proc forgets as soon as a parent dies."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.model import Exec, Exit, Fork, ProcessKey

_ENTRIES_MAX = 16_384  # some 4 MB at the worst; a usual host has a few hundred processes
_DEPTH_MAX = 64


class Known(msgspec.Struct, frozen=True, gc=False):
    """One process of the tree. `exe` is "" if it is not known (yet)."""

    key: ProcessKey
    exe: str
    parent: ProcessKey | None
    exited: bool


class ProcessTable:
    """Ancestors and descendants, fed by the first snapshot and by fork, exec and exit.

    A process keeps the parent that made it, also when that one dies and init adopts it: a daemon that forked twice is
    still its starter's. The dead stay as long as somebody living descends from them. Bounded: when full, the oldest
    entries go.
    """

    def __init__(self, entries_max: int = _ENTRIES_MAX) -> None:
        self._max = entries_max
        self._known: OrderedDict[ProcessKey, Known] = OrderedDict()
        self._children: dict[ProcessKey, set[ProcessKey]] = {}
        self._by_tgid: dict[int, ProcessKey] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: ProcessKey, exe: str, parent: ProcessKey | None) -> None:
        """Note a process that was found running, or what became known of one."""
        known = self._known.get(key)
        if known is not None:
            self._known[key] = replace(known, exe=sys.intern(exe) if exe else known.exe, exited=False)
            if known.parent is None and parent is not None:
                self._adopt(key, parent)
            return
        earlier = self._by_tgid.get(key.tgid)
        if earlier is not None:
            self._end(earlier)  # its exit was lost; the pid is in use again
        self._known[key] = Known(key, sys.intern(exe) if exe else "", None, exited=False)
        self._by_tgid[key.tgid] = key
        if parent is not None:
            self._adopt(key, parent)
        while len(self._known) > self._max:
            self._drop(next(iter(self._known)))

    def on_fork(self, event: Fork) -> None:
        """A child runs its parent's program until it execs."""
        parent = self._known.get(event.parent)
        if event.key not in self._known:  # its exec may have been read first: another CPU's buffer
            self.add(event.key, parent.exe if parent else "", event.parent)

    def on_exec(self, event: Exec) -> None:
        """A process runs another program now."""
        if event.parent is not None and event.parent not in self._known:
            self.add(event.parent, event.parent_exe, None)
        self.add(event.key, event.exe, event.parent)

    def on_exit(self, event: Exit) -> None:
        """A process ended; a second notice of it is a no-op."""
        self._end(event.key)

    def keep_only(self, living: Iterable[ProcessKey]) -> None:
        """Take a whole snapshot as the truth: whoever is not in it has exited (its exit was suppressed or lost)."""
        alive = set(living)
        for key in [k for k, known in self._known.items() if not known.exited and k not in alive]:
            self._end(key)

    def get(self, key: ProcessKey) -> Known | None:
        """What is known of a process; None if nothing."""
        return self._known.get(key)

    def key_of(self, tgid: int) -> ProcessKey | None:
        """Which process has this pid as far as we know."""
        return self._by_tgid.get(tgid)

    def ancestors(self, key: ProcessKey) -> tuple[Known, ...]:
        """The ancestors of a process, nearest first, dead ones included; shorter where the chain is not known."""
        found: list[Known] = []
        known = self._known.get(key)
        while known is not None and known.parent is not None and len(found) < _DEPTH_MAX:
            known = self._known.get(known.parent)
            if known is not None:
                found.append(known)
        return tuple(found)

    def descendants(self, key: ProcessKey) -> tuple[ProcessKey, ...]:
        """All living processes that descend from one, nearest generations first; without itself."""
        found: list[ProcessKey] = []
        generation = [key]
        seen = {key}
        while generation:
            generation = [c for k in generation for c in sorted(self._children.get(k, ())) if c not in seen]
            seen.update(generation)
            found += (k for k in generation if not self._known[k].exited)
        return tuple(found)

    def _adopt(self, key: ProcessKey, parent: ProcessKey) -> None:
        if parent == key or (key in self._children and key in (a.key for a in self.ancestors(parent))):
            return  # only wrong input makes a circle
        self._known[key] = replace(self._known[key], parent=parent)
        self._children.setdefault(parent, set()).add(key)

    def _end(self, key: ProcessKey) -> None:
        known = self._known.get(key)
        if known is None:
            return
        if self._by_tgid.get(key.tgid) == key:
            del self._by_tgid[key.tgid]
        # The dead without offspring go, and with them their dead ancestors that were kept for their sake.
        leaf: Known | None
        leaf = self._known[key] = replace(known, exited=True)
        while leaf is not None and leaf.exited and not self._children.get(leaf.key):
            parent = leaf.parent
            self._drop(leaf.key)
            leaf = None if parent is None else self._known.get(parent)

    def _drop(self, key: ProcessKey) -> None:
        known = self._known.pop(key)
        if self._by_tgid.get(key.tgid) == key:
            del self._by_tgid[key.tgid]
        for child in self._children.pop(key, ()):
            self._known[child] = replace(self._known[child], parent=None)
        siblings = self._children.get(known.parent) if known.parent is not None else None
        if siblings is not None and known.parent is not None:
            siblings.discard(key)
            if not siblings:
                del self._children[known.parent]
