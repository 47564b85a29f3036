"""Which processes are the agent's own: none of what they do is news, a symptom, or anybody's to judge."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.sense.cgroups import read_cgroup

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.model import Exec

_DAEMON_UNIT, _GATEWAY_UNIT = "brainkernel.service", "brainkernel-gateway.service"


@dataclass(frozen=True, slots=True)
class Own:
    """The agent, its children, and whatever systemd put into the cgroups of its two services.

    The gateway of an installed agent is systemd's child, as are `release` and `check-config` of the daemon's own unit;
    only root can put anybody else there. The kernel knows the agent's children already, but by far not all loaders'
    events come by it.
    """

    pid: int
    cgroups: frozenset[str] = frozenset()

    @classmethod
    def read(cls, proc_root: Path) -> Own:
        """Ask where this process lives."""
        pid = os.getpid()
        folder, _, unit = (read_cgroup(proc_root, pid) or "").rpartition("/")
        # In the foreground it is in somebody's session, among others.
        return cls(pid, frozenset(f"{folder}/{name}" for name in (_DAEMON_UNIT, _GATEWAY_UNIT)) if unit == _DAEMON_UNIT else frozenset())

    def has(self, event: Exec) -> bool:
        """Whether this program start is of the agent's own."""
        pids = (event.key.tgid, *(above.key.tgid for above in event.ancestors))
        return self.pid in pids or event.cgroup in self.cgroups
