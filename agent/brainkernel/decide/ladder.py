"""What becomes of a limit that stands: kept, stepped up, or released. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.config import CategoryPolicy, Policy
    from brainkernel.model import Action, Outcome, Symptom

NS_PER_S = 1_000_000_000
# Each lease in succession is twice as long, so that a job that never ends is not let loose every minute ...
LEASE_DOUBLINGS_MAX = 4  # ... but at the latest after 16 leases' time it is tried without.


class Next(enum.Enum):
    """What to do with a limit now."""

    KEEP = "keep"
    STEP_UP = "step_up"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A limit that stands, and what is known of it."""

    action: Action
    step: int
    stepped_ns: int  # CLOCK_BOOTTIME of the last step
    outcome: Outcome | None = None
    target_alive: bool = True


def next_of(held: Held, symptom: Symptom | None, now_ns: int, policy: Policy, category: CategoryPolicy) -> tuple[Next, str]:
    """Decide on one limit, with the reason.

    A lease that ran out always releases: whether the harm comes back without the limit is then seen, not
    supposed. Until then a limit that did not help goes up the ladder while somebody still suffers; at the top
    it stays to the end of its lease.
    """
    if not held.target_alive:
        return Next.RELEASE, "the process has ended"
    if now_ns >= held.action.expires_ns:
        return Next.RELEASE, "the lease ran out"
    if symptom is not None and held.step + 1 < len(category.limits) and now_ns - held.stepped_ns >= policy.step_after_s * NS_PER_S:
        return Next.STEP_UP, f"still {symptom.text}"
    return Next.KEEP, ""


def lease_ns_of(policy: Policy, times_before: int) -> int:
    """How long the next limit on the same program may stand, after `times_before` that were needed again."""
    return int(policy.lease_s * NS_PER_S) << min(times_before, LEASE_DOUBLINGS_MAX)
