"""What every route can do: say what it would write, write it, look whether it stands, and take it back."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from brainkernel.escape import escaped
from brainkernel.model import Action, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.act.choice import Plan
    from brainkernel.act.ledger import Entry
    from brainkernel.act.place import Place
    from brainkernel.act.procfs import PidLock
    from brainkernel.model import Change, Limit, ReleaseResult

GONE = Refusal(rule="gone", reason="the process ended")
# After these a step was not made, and the limit before it stands as it was.
OLD_STEP_STANDS = frozenset({"no_effect", "immunity"})


class Fate(enum.StrEnum):
    """What became of a limit since it was applied."""

    STANDS = "stands"
    ENDED = "ended"  # the process, or the cgroup it was in
    CHANGED = "changed"  # other values are there than ours
    GREW = "grew"  # the target has threads or children that the limit does not reach yet
    STRAINS = "strains"  # memory.high: what it holds back suffers for want of memory


class Undone(NamedTuple):
    """How a release went; not `done`: the ledger keeps it."""

    result: ReleaseResult
    done: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A limit to be set, and where."""

    decision_id: int
    limit: Limit
    lease_ns: int
    now_ns: int  # CLOCK_BOOTTIME
    place: Place
    plan: Plan


class LimitRoute(Protocol):
    """One way to limit. Methods block; they raise ActError or OSError for what the host does not let them do."""

    def plan(self, wanted: Wanted) -> Action | Refusal:
        """What would be written, with the values before it. Writes nothing: the ledger has it before `apply`."""
        ...

    def replan(self, entry: Entry, limit: Limit) -> Action | Refusal:
        """The same for another step of a limit that stands; the values to restore stay those before the first."""
        ...

    def apply(self, action: Action, lock: PidLock, wanted: Wanted | None) -> Action | Refusal:
        """Write it and read it back; the action as it stands. `wanted` is None for a step."""
        ...

    def read_back(self, entry: Entry) -> Fate:
        """What became of it, by a look at files alone: cheap enough for every second."""
        ...

    def undo(self, entry: Entry, *, last: bool) -> Undone:
        """Restore what was there before, but for what somebody else has set since. May be done twice."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the host may take to do what it agreed to, and how to wait for it."""

    deadline_s: float = 2.0
    sleep: Callable[[float], None] = time.sleep

    def until(self, done: Callable[[], bool]) -> bool:
        """Look until it is done; False if it never was."""
        pause, waited = 0.01, 0.0
        while not done():
            if waited >= self.deadline_s:
                return False
            self.sleep(pause)
            waited += pause
            pause = min(2 * pause, 0.2)
        return True


def action_of(
    wanted: Wanted, changes: tuple[Change, ...], *, unit: str, cgroup: str, cgroup_id: int, notes: tuple[str, ...] = ()
) -> Action:
    """The action for a wanted limit; what only some routes know is given."""
    target = wanted.place.target
    return Action(
        id=wanted.decision_id,
        target=target.key,
        comm=escaped(target.comm),
        route=wanted.plan.route,
        unit=unit,
        cgroup=cgroup,
        cgroup_id=cgroup_id,
        limit=wanted.limit,
        changes=changes,
        moved=tuple(member.key for member in wanted.plan.move),
        user_uid=wanted.place.user_uid,
        started_ns=wanted.now_ns,
        expires_ns=wanted.now_ns + wanted.lease_ns,
        why=wanted.plan.reason,
        notes=notes,
    )
