"""The groups that the kernel makes of each session's tasks where no cgroup weighs them (sched(7)).

A nice value counts only inside of such a group: a job of cron, which has a session of its own, would not be slowed by it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.act.procfs import text_of

if TYPE_CHECKING:
    from pathlib import Path

_TEXT = re.compile(r"/(autogroup-\d+) nice (-?\d+)")


class Autogroup(NamedTuple):
    """One group; its name is not used again until the next boot."""

    name: str
    nice: int


def are_in_use(proc: Path) -> bool:
    """Whether this kernel has them and nobody switched them off."""
    return (text_of(proc / "sys/kernel/sched_autogroup_enabled") or "").strip() == "1"


def read_autogroup(proc: Path, tgid: int) -> Autogroup | None:
    """The autogroup of a process, in use or not; None if it ended, or the kernel has none."""
    match = _TEXT.match(text_of(proc / str(tgid) / "autogroup") or "")
    return Autogroup(match[1], int(match[2])) if match else None


def members_of(proc: Path, name: str) -> tuple[int, ...]:
    """All processes of one autogroup."""
    tgids = (int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal())
    return tuple(tgid for tgid in tgids if (group := read_autogroup(proc, tgid)) and group.name == name)
