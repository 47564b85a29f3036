"""When a limit that stands goes one step up, and how long it may stand. Pure.

The end of a lease is not decided here: `act` ends it by itself, so that no limit outlives a pipeline that stalls.
Whether the harm comes back without the limit is then seen, not supposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.config import CategoryPolicy, Policy
    from brainkernel.model import Action, Symptom

NS_PER_S = 1_000_000_000
# Each lease in succession is twice as long, so that a job that never ends is not let loose every minute ...
LEASE_DOUBLINGS_MAX = 4  # ... but after 16 leases' time at the latest it is tried without.


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A limit that stands: which step of its ladder it is, and since when (CLOCK_BOOTTIME)."""

    action: Action
    step: int
    stepped_ns: int


def steps_up(held: Held, symptom: Symptom | None, now_ns: int, policy: Policy, category: CategoryPolicy) -> bool:
    """Whether somebody still suffers after this step had its time, and there is another step."""
    if symptom is None or held.step + 1 >= len(category.limits):
        return False
    return now_ns - held.stepped_ns >= policy.step_after_s * NS_PER_S


def lease_ns_of(policy: Policy, times_before: int) -> int:
    """How long the next limit on the same program may stand, after `times_before` that were needed again."""
    return int(policy.lease_s * NS_PER_S) << min(times_before, LEASE_DOUBLINGS_MAX)
