"""The agent's own priority: it is needed most when there is no CPU to be had."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from brainkernel.act.autogroup import read_autogroup

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


def share_nice_with_session(proc: Path) -> int | None:
    """Give the session that this process leads the nice value that it has itself; returns it, or None if there was nothing to do.

    While no cgroup weighs the host's tasks the kernel weighs sessions, and a nice value counts inside of its session alone
    (sched(7), "The autogroup feature"): systemd's Nice= is then no help against another service. Only a value below zero
    is passed on, and only by the leader: at a terminal the session is somebody's shell, which would keep it.
    """
    pid, nice = os.getpid(), os.getpriority(os.PRIO_PROCESS, 0)
    if nice >= 0 or os.getsid(0) != pid or (group := read_autogroup(proc, pid)) is None or group.nice == nice:
        return None
    try:
        (proc / str(pid) / "autogroup").write_text(f"{nice}\n")
    except OSError as error:
        _log.warning("the agent's session keeps the nice value %d instead of %d: %s", group.nice, nice, error.strerror)
        return None
    return nice
