"""An agent's long past, put into its database before the soak: what is remembered up to a bound has reached it already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.clock import SystemClock
from brainkernel.config import Store
from brainkernel.model import FileId, Identity
from brainkernel.store import open_store
from brainkernel.store.baselines import IDENTITIES_MAX, SHAPES_MAX

if TYPE_CHECKING:
    from pathlib import Path

DECISIONS_MAX = 500
NS_PER_S = 1_000_000_000


def remember(state_dir: Path) -> None:
    """Let the agent have met as many programs and forms of arguments as it can remember, one a second until now."""
    clock = SystemClock()
    store = open_store(state_dir, Store(decisions_max=DECISIONS_MAX), clock, print)
    now_ns = clock.wall_ns()
    shell = FileId(dev=1, ino=1, ctime_ns=1)
    for number in range(IDENTITIES_MAX):
        file = FileId(dev=1, ino=1000 + number, ctime_ns=number)
        met = Identity(exe=f"/opt/tool-{number}", file=file, parent_exe="/bin/sh", parent_file=shell, uid=1000)
        store.baselines.meet(met, now_ns - (IDENTITIES_MAX - number) * NS_PER_S)
    for number in range(SHAPES_MAX):
        store.baselines.meet_shape(hash((number, "form")) & (2**64 - 1), now_ns - (SHAPES_MAX - number) * NS_PER_S)
    store.baselines.flush()
    store.close()
