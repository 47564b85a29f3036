"""How a limit that stands goes up and down its ladder, and how long it may stand. Pure.

Up while somebody still suffers; down again, one step at a time, when a lease ends in peace: whether the harm comes
back with less of a limit is then seen, not supposed. What the last lease's end releases, `act` ends by itself, so that
no limit outlives a pipeline that stalls.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brainkernel.config import Policy, Symptoms
    from brainkernel.model import Action, Limit, Symptom

NS_PER_S = 1_000_000_000
# Each lease in succession is twice as long, so that a job that never ends is not let loose every minute ...
LEASE_DOUBLINGS_MAX = 4  # ... but after 16 leases' time at the latest it is tried with less.
RENEWALS_MAX = 15  # the harm may be others' by now: then, too, it is tried with less
_DECIDE_BEFORE_NS = 5 * NS_PER_S  # a lease ends; slower than any tick, so that `act` does not end it first
_CALM = 0.5  # of the thresholds of harm: peace is less than this, so that nothing flaps at the edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A limit that stands: which step of its ladder it is, since when, until when (CLOCK_BOOTTIME)."""

    action: Action
    step: int
    stepped_ns: int
    expires_ns: int
    lease_ns: int
    descended: bool = False  # the last move was a step down
    returns: int = 0  # how often the harm came back after one
    renewals: int = 0  # of this step


class Move(enum.Enum):
    """What becomes of a limit now."""

    STAY = "stay"  # and end with its lease, if nothing else is said before
    UP = "up"
    DOWN = "down"
    RENEW = "renew"
    GIVE_UP = "give_up"  # the strongest step helps nobody


def first_step(ladder: Sequence[Limit], symptom: Symptom, config: Symptoms) -> int:
    """At which step a limit begins: the lightest, but in strong pain the strongest before the first that caps.

    Weight and idle cost their target nothing that nobody else wants, so that trying the lighter one first only keeps the victim waiting.
    """
    if not symptom.victims or symptom.victims[0].wait_pct < config.strong_wait_pct:
        return 0
    return max(0, len(list(takewhile(lambda limit: not limit.caps, ladder))) - 1)


def next_move(held: Held, now_ns: int, *, steps: int, harm: bool, calm: bool, helped: bool | None, policy: Policy) -> Move:
    """Judge one limit. `harm`: somebody suffers in spite of it; `helped`: the measured effect of this step, None: not yet."""
    lasted = now_ns - held.stepped_ns >= policy.step_after_s * NS_PER_S
    if harm and held.step + 1 < steps and (lasted or helped is False):
        return Move.UP
    if harm and lasted and helped is False:
        return Move.GIVE_UP
    if now_ns < held.expires_ns - min(_DECIDE_BEFORE_NS, held.lease_ns // 4):
        return Move.STAY
    tried_out = held.renewals >= RENEWALS_MAX
    if not calm and helped and not tried_out:
        return Move.RENEW
    return Move.DOWN if held.step > held.action.lowest and (calm or tried_out) else Move.STAY


def moved(held: Held, move: Move, now_ns: int) -> Held:
    """The same limit one step up or down, or renewed, with a lease that is longer the more often peace did not last."""
    returns = held.returns + (move is Move.UP and held.descended)
    steps = {Move.UP: 1, Move.DOWN: -1}.get(move, 0)
    return replace(
        held,
        step=held.step + steps,
        stepped_ns=now_ns if steps else held.stepped_ns,
        expires_ns=now_ns + (held.lease_ns << min(returns, LEASE_DOUBLINGS_MAX)),
        descended=move is Move.DOWN or (held.descended and move is not Move.UP),
        returns=returns,
        renewals=held.renewals + 1 if move is Move.RENEW else 0,
    )


def calm_below(config: Symptoms) -> Symptoms:
    """The thresholds under which there is peace: lower than those of harm."""
    return type(config)(
        window_s=config.window_s,
        pressure_pct=config.pressure_pct * _CALM,
        target_cpu_pct=config.target_cpu_pct * _CALM,
        victim_wait_pct=config.victim_wait_pct * _CALM,
        strong_wait_pct=config.strong_wait_pct,
    )


def lease_ns_of(policy: Policy, times_before: int) -> int:
    """How long the next limit on the same program may stand, after `times_before` that were needed again."""
    return int(policy.lease_s * NS_PER_S) << min(times_before, LEASE_DOUBLINGS_MAX)
