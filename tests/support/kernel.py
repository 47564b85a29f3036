"""Tests against the running kernel: skip with reason and remedy, or fail where REQUIRE_KERNEL=1 forbids to skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import pytest
from brainkernel.model import Exec, Exit, Fork, Suppressed
from brainkernel.sense import hostcheck
from brainkernel.sense.core import OBJECT_FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.model import ProcessEvent
    from brainkernel.sense.loader import Loader

T = TypeVar("T")
DEADLINE_S = 20.0
REPOSITORY = Path(__file__).parents[2]


def require_kernel() -> None:
    """Skip the test, or fail it if the environment says REQUIRE_KERNEL=1, when this host cannot run our programs."""
    if shutil.which("clang"):
        subprocess.run([REPOSITORY / "scripts/build-bpf"], check=True)
    missing = hostcheck.missing_for_core(OBJECT_FILE, Path("/proc"), Path("/sys"))
    if missing is not None:
        refuse(missing)


def refuse(reason: str) -> NoReturn:
    """Skip with a reason, or fail where skipping is not allowed."""
    if os.environ.get("REQUIRE_KERNEL") == "1":
        pytest.fail(f"REQUIRE_KERNEL=1 forbids to skip: {reason}")
    pytest.skip(f"{reason} (REQUIRE_KERNEL=1 makes this a failure)")


def wait_until(what: str, found: Callable[[], T | None], deadline_s: float = DEADLINE_S) -> T:
    """Ask again and again, ever slower, until there is an answer that is true; fail at the deadline."""
    end = time.monotonic() + deadline_s
    pause_s = 0.001
    while not (answer := found()):
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline_s:g} s: {what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.1)
    return answer


class Witness:
    """Collects what a loader reports, of this test's own processes only: others start programs on this host too."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader
        self.events: list[ProcessEvent] = []

    def drain(self) -> list[ProcessEvent]:
        """Collect what waits."""
        while new := self.loader.drain():
            self.events.extend(new)
        return self.events

    def execs(self, arg: str) -> list[Exec]:
        """The execs so far that have this argument."""
        return [e for e in self.drain() if isinstance(e, Exec) and arg in e.argv]

    def exec_with(self, arg: str) -> Exec:
        """Wait for an exec that has this argument."""
        return wait_until(f"an exec with {arg!r}", lambda: self.execs(arg))[0]

    def exits_of(self, tgid: int) -> list[Exit]:
        """The exits so far of one process."""
        return [e for e in self.drain() if isinstance(e, Exit) and e.key.tgid == tgid]

    def forks_of(self, parent_tgid: int) -> list[Fork]:
        """The forks so far by one process."""
        return [e for e in self.drain() if isinstance(e, Fork) and e.parent.tgid == parent_tgid]

    def suppressed(self) -> int:
        """How many records flood control was said to have kept."""
        return sum(e.count for e in self.drain() if isinstance(e, Suppressed))
