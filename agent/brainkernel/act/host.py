"""Where the host is looked at and what is called on it, so that tests can build a host of their own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.act.cgroupfs import CgroupWriter, KernelCgroups
from brainkernel.act.scheduling import KernelScheduler, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Host:
    """Every root, and every system call that changes something outside of files."""

    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")
    sys: Path = Path("/sys")
    run: Path = Path("/run")
    open_pidfd: Callable[[int], int] = field(default=os.pidfd_open)
    scheduler: Scheduler = field(default_factory=KernelScheduler)
    cgroups: CgroupWriter = field(default_factory=KernelCgroups)
