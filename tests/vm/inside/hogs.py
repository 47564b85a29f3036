"""The two places where a hog lives, and how to see whether it is limited there."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vm.inside.cgroups import ROOT, cgroup_values, changes, told
from vm.inside.processes import cgroup_of, cpu_pct_of
from vm.inside.sessions import LoginSession, a_login_session
from vm.inside.units import LOOPS_THAT_FILL_THE_MACHINE, a_unit, a_victim
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vm.inside.cgroups import Values

FREE_PCT = 40.0  # of a CPU: more than any limit of these tests, less than its share among all that run


@dataclass(frozen=True, slots=True)
class Hog:
    """Busy loops that hurt a victim, in a unit of their own or in a login session."""

    pids: tuple[int, ...]
    session: LoginSession | None = None

    @property
    def cgroup(self) -> Path:
        """Where its first process lives now: a limit may have moved it."""
        return ROOT / cgroup_of(self.pids[0]).lstrip("/")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let it stand still: what is limited stays so, and what else is to be done is not a matter of minutes under emulation."""
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in self.pids:
                os.kill(pid, signal.SIGCONT)

    @property
    def quota_pct(self) -> float | None:
        """Its limit right now; None: there is none. 100 is one CPU."""
        return quota_pct_of(self.cgroup)


@contextmanager
def a_hog(place: str, *, loops: int = LOOPS_THAT_FILL_THE_MACHINE) -> Iterator[Hog]:
    """Run a hog in a `unit` of its own, with so many loops, or in a login `session`."""
    if place == "unit":
        with a_unit(loops=loops) as unit:
            yield Hog(unit.pids)
    else:
        with a_login_session() as session:
            yield Hog((session.hog,), session)


@contextmanager
def a_hurting_hog(place: str, *, loops: int = LOOPS_THAT_FILL_THE_MACHINE) -> Iterator[Hog]:
    """Run a hog and, beside it, somebody who suffers."""
    with a_victim(), a_hog(place, loops=loops) as hog:
        yield hog


def quota_pct_of(cgroup: Path) -> float | None:
    """The CPU limit of a cgroup; None: none, or no cpu controller at all."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except FileNotFoundError:
        return None
    return None if quota == "max" else 100 * int(quota) / int(period)


def assert_restored(hog: Hog, before: Values, *, within_s: float = 60.0) -> None:
    """See that every setting is as it was, and stays so, and that the hog runs freely again."""
    wait_until(lambda: hog.quota_pct is None, "a hog without quota", within_s=within_s)
    try:
        wait_until(lambda: not changes(before, cgroup_values()), "every value as before", within_s=within_s)
    except AssertionError as error:
        error.add_note(told(changes(before, cgroup_values())))
        raise
    # What systemd has on disk must say the same: a limit that is only hidden comes back here.
    output_of("systemctl", "daemon-reload")
    assert changes(before, cgroup_values()) == {}
    assert hog.quota_pct is None
    assert cpu_pct_of(hog.cgroup, 2) > FREE_PCT
