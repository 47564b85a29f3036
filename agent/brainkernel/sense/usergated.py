"""The part of a loader that is the same wherever the gate is in user space."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.model import Exec, Identity
    from brainkernel.sense.loader import KernelCounters
    from brainkernel.sense.runqueue import Histogram
    from brainkernel.sense.usergate import UserGate


class UserGatedLoader:
    """Hands what concerns the gate on to it; cannot follow a cgroup."""

    def __init__(self, gate: UserGate) -> None:
        """The gate is this loader's alone."""
        self._gate = gate

    def remember(self, identity: Identity, *, always: bool = False) -> None:
        """Put it into the gate; an identity without a file cannot be, and is reported each time."""
        self._gate.remember(identity, always=always)

    def remember_many(self, identities: Iterable[tuple[Identity, bool]]) -> int:
        """Put them into the gate."""
        return self._gate.remember_many(identities)

    def remember_arguments(self, event: Exec) -> bool:
        """Put this invocation into the gate."""
        return self._gate.remember_arguments(event)

    def forget(self, identity: Identity) -> None:
        """Take it out of the gate."""
        self._gate.forget(identity)

    def exclude(self, tgid: int) -> None:
        """Make it one of ours; its children will be by fork."""
        self._gate.exclude(tgid)

    def counters(self) -> KernelCounters:
        """The books, kept in user space."""
        return self._gate.counters()

    def run_queue(self) -> Histogram | None:
        """None where the kernel side cannot see it."""
        return None

    def follow_cgroup(self, cgroup_id: int) -> bool:
        """It cannot."""
        del cgroup_id
        return False

    def unfollow_cgroup(self, cgroup_id: int) -> None:
        """Nothing is to be undone."""
        del cgroup_id

    def run_queue_of(self, cgroup_id: int) -> Histogram | None:
        """None is followed."""
        del cgroup_id
        return None
