"""The `act` stage alone, without the agent around it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainkernel.act.enforcer import Permissions
from brainkernel.act.limiter import Applied, Limiter, NotApplied, Released
from brainkernel.act.procfs import read_member
from brainkernel.clock import SystemClock
from brainkernel.model import Action, Decision, DecisionKind, Limit, ReleaseResult
from support.nouns import a_suspect, a_verdict

from vm.inside.processes import PROC
from vm.inside.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.act.host import Host

STATE_DIR = Path("/var/lib/brainkernel-act")
QUOTA = Limit(cpu_quota_pct=20)
WEIGHT = Limit(cpu_weight=20)
LEASE_NS = 600_000_000_000


class Act:
    """A limiter, asked and answered synchronously."""

    def __init__(self, host: Host | None = None) -> None:
        self.limiter = Limiter(STATE_DIR, Permissions(lambda exe, unit: ""), SystemClock(), host)
        self.seen: list[Any] = []

    def apply(self, pid: int, limit: Limit = QUOTA, *, action_id: int = 1, lease_ns: int = LEASE_NS) -> Applied | NotApplied:
        member = read_member(PROC, pid)
        assert member is not None
        decision = Decision(
            id=action_id,
            time_ns=0,
            suspect=a_suspect(key=member.key),
            verdict=a_verdict(),
            kind=DecisionKind.LIMIT,
            reason="a test",
            limit=limit,
            acts=True,
            lease_ns=lease_ns,
        )
        self.limiter.apply(decision)
        answer: Applied | NotApplied = self.answer(Applied, NotApplied)
        return answer

    def applied(self, pid: int, limit: Limit = QUOTA, *, lease_ns: int = LEASE_NS) -> Action:
        answer = self.apply(pid, limit, lease_ns=lease_ns)
        assert isinstance(answer, Applied), answer
        return answer.action

    def step(self, limit: Limit) -> Action:
        self.limiter.step(1, limit, time.clock_gettime_ns(time.CLOCK_BOOTTIME) + LEASE_NS)
        answer = self.answer(Applied, NotApplied)
        assert isinstance(answer, Applied), answer
        return answer.action

    def release(self) -> ReleaseResult:
        self.limiter.release(1, "a test")
        released: Released = self.answer(Released)
        return released.result

    def answer(self, *kinds: type) -> Any:
        def find() -> Any:
            self.seen += self.limiter.results()
            return next((result for result in self.seen if isinstance(result, kinds)), None)

        found = wait_until(find, f"one of {kinds}, and not {self.seen}", within_s=30)
        self.seen.remove(found)
        return found


@contextmanager
def acting(host: Host | None = None) -> Iterator[Act]:
    """A limiter that is ended as an agent ends: everything released, then closed."""
    act = Act(host)
    try:
        yield act
    finally:
        act.limiter.release_all("the test ended", 30)
        act.limiter.close()
