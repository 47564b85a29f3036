"""A store in a directory of its own, with a clock and a list of what it said."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from brainkernel.clock import SimulatedClock
from brainkernel.config import Store as StoreConfig
from brainkernel.model import Action, Change, Decision, DecisionKind, Limit, ProcessKey, Route
from brainkernel.store import Store, open_store
from support.nouns import SECOND_NS, a_suspect, a_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON_NS = 1_795_000_000 * SECOND_NS  # some day in November 2026


@dataclass(slots=True)
class Opened:
    store: Store
    clock: SimulatedClock
    said: list[str] = field(default_factory=list)


@contextmanager
def opened(directory: Path, *, decisions_max: int = 100, at_ns: int = 0) -> Iterator[Opened]:
    """Open the store of a directory, close it afterwards."""
    clock = SimulatedClock(now_boot_ns=at_ns, offset_to_wall_ns=NOON_NS)
    said: list[str] = []
    store = open_store(directory, StoreConfig(decisions_max=decisions_max), clock, said.append)
    try:
        yield Opened(store, clock, said)
    finally:
        store.close()


def a_decision(decision_id: int = 1, exe: str = "/usr/bin/tool", **changes: Any) -> Decision:
    """A note about a program."""
    plain: dict[str, Any] = {
        "id": decision_id,
        "time_ns": NOON_NS,
        "suspect": a_suspect(exe),
        "verdict": a_verdict(),
        "kind": DecisionKind.NOTE,
        "reason": "nothing hurts",
    }
    return Decision(**(plain | changes))


def an_action(decision_id: int = 1, **changes: Any) -> Action:
    """A weight on a unit."""
    plain: dict[str, Any] = {
        "id": decision_id,
        "target": ProcessKey(4711, 50 * SECOND_NS),
        "comm": "tool",
        "route": Route.UNIT,
        "unit": "tool.service",
        "cgroup": "/system.slice/tool.service",
        "cgroup_id": 99,
        "limit": Limit(cpu_weight=20),
        "changes": (Change("CPUWeight", "", "20"),),
    }
    return Action(**(plain | changes))


def until(done: Any, deadline_s: float = 20.0) -> None:
    """Wait for something another thread or process does."""
    end = time.monotonic() + deadline_s
    while not done():
        if time.monotonic() > end:
            msg = "waited in vain"
            raise AssertionError(msg)
        time.sleep(0.01)
