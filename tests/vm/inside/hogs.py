"""The two places where a hog lives, and how to see whether it is limited there."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vm.inside.cgroups import ROOT
from vm.inside.processes import cgroup_of
from vm.inside.sessions import LoginSession, a_login_session
from vm.inside.units import a_unit, a_victim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Hog:
    """Busy loops that hurt a victim, in a unit of their own or in a login session."""

    pids: tuple[int, ...]
    session: LoginSession | None = None

    @property
    def cgroup(self) -> Path:
        """Where its first process lives now: a limit may have moved it."""
        return ROOT / cgroup_of(self.pids[0]).lstrip("/")

    @property
    def quota_pct(self) -> float | None:
        """Its limit right now; None: there is none. 100 is one CPU."""
        return quota_pct_of(self.cgroup)


@contextmanager
def a_hog(place: str) -> Iterator[Hog]:
    """Run a hog (`unit` or `session`) and, beside it, somebody who suffers."""
    with a_victim():
        if place == "unit":
            with a_unit() as unit:
                yield Hog(unit.pids)
        else:
            with a_login_session() as session:
                yield Hog((session.hog,), session)


def quota_pct_of(cgroup: Path) -> float | None:
    """The CPU limit of a cgroup; None: none, or no cpu controller at all."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except FileNotFoundError:
        return None
    return None if quota == "max" else 100 * int(quota) / int(period)
