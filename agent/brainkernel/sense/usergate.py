"""The gate, the own processes and the books of the kernel programs, for loaders whose kernel side has none of them."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from brainkernel.sense import wire
from brainkernel.sense.loader import Fates, KernelCounters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.model import Exec, Identity

_KNOWN_MAX = 16384  # as the map `known` of bpf/probe.bpf.c
_INVOCATIONS_MAX = 2048
_TRACKED_MAX = 32768  # as the map `tracked`
_OWN_MAX = 4096


class Fate(enum.StrEnum):
    """What becomes of one event; the columns of `Fates`."""

    OWN = "own"
    KNOWN = "known"
    SUBMITTED = "submitted"
    SUPPRESSED = "suppressed"
    FAILED = "failed"


class UserGate:
    """Decides as bpf/exec.bpf.h, exit.bpf.h and fork.bpf.h do, and keeps the same books.

    The difference is the price: here an event has already been read when it is found to be known.
    """

    def __init__(self, *, all_events: bool) -> None:
        """With `all_events` nothing is kept back but what is our own."""
        self._all_events = all_events
        self._known: OrderedDict[bytes, bool] = OrderedDict()  # identity to `always`, least recently used first
        self._invocations: OrderedDict[tuple[bytes, tuple[str, ...]], None] = OrderedDict()  # of `always` programs
        self._tracked: OrderedDict[int, None] = OrderedDict()  # processes of which an exec was handed out
        self._own: OrderedDict[int, None] = OrderedDict()
        self._fates: Counter[tuple[str, str]] = Counter()
        self.failures: Counter[str] = Counter()

    def remember(self, identity: Identity, *, always: bool) -> bool:
        """Count this program only from now on; False for one without a file, which is reported each time."""
        if identity.file is None:
            return False
        self._known[wire.identity_key(identity.file, identity.parent_file, identity.uid)] = always
        if len(self._known) > _KNOWN_MAX:
            self._known.popitem(last=False)
        return True

    def remember_many(self, identities: Iterable[tuple[Identity, bool]]) -> int:
        """The same for many; the answer is how many have a file."""
        return sum(self.remember(identity, always=always) for identity, always in identities)

    def remember_arguments(self, event: Exec) -> bool:
        """Count an `always` program only, when it is started with exactly these arguments; False if they are too long."""
        key = _key_of(event)
        if not self._known.get(key) or not event.argv or sum(map(len, event.argv)) > wire.ARGV_HASHED_BYTES:
            return False
        # Compared whole: here it costs nothing, and needs no thought about collisions.
        self._invocations[key, event.argv] = None
        if len(self._invocations) > _INVOCATIONS_MAX:
            self._invocations.popitem(last=False)
        return True

    def forget(self, identity: Identity) -> None:
        """Report this program again."""
        if identity.file is None:
            return
        key = wire.identity_key(identity.file, identity.parent_file, identity.uid)
        self._known.pop(key, None)
        for invocation in [i for i in self._invocations if i[0] == key]:
            del self._invocations[invocation]

    def exclude(self, tgid: int) -> None:
        """Make a process ours; what it forks will be too."""
        self._own[tgid] = None
        if len(self._own) > _OWN_MAX:
            self._own.popitem(last=False)

    def is_own(self, tgid: int) -> bool:
        """Whether a process is ours."""
        return tgid in self._own

    def of_exec(self, event: Exec) -> Fate:
        """Judge and count an exec that is not of our own."""
        if not self._all_events and self._is_known(event) and event.key.tgid not in self._tracked:
            return self.count("exec", Fate.KNOWN)
        self._tracked[event.key.tgid] = None
        if len(self._tracked) > _TRACKED_MAX:
            self._tracked.popitem(last=False)
        return self.count("exec", Fate.SUBMITTED)

    def of_fork(self, tgid: int, parent_tgid: int) -> Fate:
        """Judge and count a fork; a child of ours becomes ours."""
        if parent_tgid in self._own:
            self.exclude(tgid)
            return self.count("fork", Fate.OWN)
        return self.count("fork", Fate.SUBMITTED if self._all_events else Fate.KNOWN)

    def of_exit(self, tgid: int) -> Fate:
        """Judge and count an exit, and forget the process."""
        if tgid in self._own:
            del self._own[tgid]
            return self.count("exit", Fate.OWN)
        was_tracked = tgid in self._tracked
        self._tracked.pop(tgid, None)
        return self.count("exit", Fate.SUBMITTED if was_tracked or self._all_events else Fate.KNOWN)

    def count(self, kind: str, fate: Fate, times: int = 1) -> Fate:
        """Enter an event in the books."""
        self._fates[kind, "seen"] += times
        self._fates[kind, fate.value] += times
        return fate

    def counters(self, *, wakeups: int = 0, undecodable: int = 0) -> KernelCounters:
        """The books so far; what was submitted here has been received, too."""
        columns = ("seen", "own", "known", "submitted", "suppressed", "failed")
        kinds = {kind: Fates(*(self._fates[kind, column] for column in columns)) for kind in ("exec", "exit", "fork")}
        return KernelCounters(
            **kinds,
            received={kind: fates.submitted for kind, fates in kinds.items()},
            undecodable=undecodable,
            wakeups=wakeups,
            failures=dict(self.failures),
        )

    def _is_known(self, event: Exec) -> bool:
        key = _key_of(event)
        always = self._known.get(key)
        if always is None:
            return False
        self._known.move_to_end(key)
        if not always:
            return True
        if (key, event.argv) not in self._invocations:
            return False
        self._invocations.move_to_end((key, event.argv))
        return True


def _key_of(event: Exec) -> bytes:
    return wire.identity_key(event.file, event.parent_file, event.uid) if event.file is not None else b""
