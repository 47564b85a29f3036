"""How a limit goes up and down its ladder, and how long it may stand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from brainkernel.config import Policy, Symptoms
from brainkernel.decide.ladder import Held, Move, calm_below, first_step, lease_ns_of, moved, next_move
from brainkernel.model import Action, Limit, ProcessKey, Route, Victim
from hypothesis import given
from hypothesis import strategies as st
from support.nouns import SECOND_NS, a_symptom

POLICY = Policy(step_after_s=3, lease_s=60)
STEPS = 3
MINUTE_NS = 60 * SECOND_NS


def held(**changes: Any) -> Held:
    action = Action(
        id=1, target=ProcessKey(100, 0), comm="hog", route=Route.UNIT, unit="hog.service", cgroup="/x", cgroup_id=7,
        limit=Limit(cpu_weight=20), changes=(), started_ns=0, expires_ns=MINUTE_NS,
    )  # fmt: skip
    action = replace(action, lowest=changes.pop("lowest", 0))
    plain = Held(action=action, step=0, stepped_ns=0, expires_ns=MINUTE_NS, lease_ns=MINUTE_NS)
    return replace(plain, **changes)


def move(limit: Held, at_s: float, *, harm: bool = False, calm: bool | None = None, helped: bool | None = True) -> Move:
    calm = not harm if calm is None else calm
    return next_move(limit, int(at_s * SECOND_NS), steps=STEPS, harm=harm, calm=calm, helped=helped, policy=POLICY)


@pytest.mark.parametrize(
    ("limit", "at_s", "facts", "expected"),
    [
        (held(), 3, {"harm": True}, Move.UP),
        (held(), 2, {"harm": True}, Move.STAY),  # two seconds do not tell whether a weight helps
        (held(), 2, {"harm": True, "helped": False}, Move.UP),  # a whole window without any effect does
        (held(step=2), 2, {"harm": True, "helped": False}, Move.STAY),
        (held(step=2), 3, {"harm": True, "helped": False}, Move.GIVE_UP),
        (held(step=2), 3, {"harm": True, "helped": None}, Move.STAY),  # not measured yet
        (held(step=2), 3, {"harm": True, "helped": True}, Move.STAY),  # helps, though not enough; there is nothing stronger
        (held(step=2), 30, {}, Move.STAY),
        (held(step=2), 56, {}, Move.DOWN),
        (held(step=0), 56, {}, Move.STAY),  # the last step ends with its lease
        (held(step=2, lowest=1), 56, {}, Move.DOWN),
        (held(step=2, lowest=2), 56, {}, Move.STAY),  # weights reach nobody who waits: below the quota there is nothing to try
        (held(step=2), 56, {"harm": True, "helped": True}, Move.RENEW),
        (held(step=2), 56, {"calm": False, "helped": True}, Move.RENEW),  # neither harm nor peace: nothing flaps
        (held(step=2), 56, {"calm": False, "helped": False}, Move.STAY),
        (held(step=2, renewals=15), 56, {"calm": False, "helped": True}, Move.DOWN),  # the harm may be others' by now
        (held(step=0, renewals=15), 56, {"harm": True, "helped": True}, Move.UP),
        (held(step=0, renewals=15), 56, {"calm": False, "helped": True}, Move.STAY),
    ],
)
def test_the_next_move_is_that_of_the_table(limit: Held, at_s: float, facts: dict[str, Any], expected: Move) -> None:
    """Up while it hurts, renewed while it helps and there is no peace, down in peace, given up when nothing helps."""
    assert move(limit, at_s, **facts) is expected


IDLE, QUOTA, BOTH = Limit(cpu_weight=0), Limit(cpu_quota_pct=20), Limit(cpu_weight=0, cpu_quota_pct=20)


@pytest.mark.parametrize(
    ("ladder", "wait_pct", "step"),
    [
        ((Limit(cpu_weight=20), IDLE, BOTH), 29, 0),
        ((Limit(cpu_weight=20), IDLE, BOTH), 30, 1),
        ((Limit(cpu_weight=20),), 90, 0),
        ((QUOTA, IDLE), 90, 0),  # what caps is never begun with because of the pain
        ((Limit(cpu_weight=20), Limit(memory_high_bytes=1 << 30)), 90, 0),
        ((IDLE, Limit(cpu_weight=20), QUOTA), 90, 1),  # the order is the operator's
    ],
)
def test_a_limit_begins_where_the_pain_asks_for_it(ladder: tuple[Limit, ...], wait_pct: float, step: int) -> None:
    """The lightest step, or in strong pain the last one before the first that caps."""
    symptom = a_symptom(victims=(Victim(key=ProcessKey(7, 0), comm="mysqld", wait_pct=wait_pct),))

    assert first_step(ladder, symptom, Symptoms()) == step


def test_a_limit_goes_down_the_way_it_came() -> None:
    """Quota, idle, weight, nothing: one lease of peace for each."""
    limit, steps, now_ns = held(step=2), [], 0
    while (found := next_move(limit, now_ns, steps=STEPS, harm=False, calm=True, helped=True, policy=POLICY)) is not Move.STAY or (
        now_ns < limit.expires_ns
    ):
        now_ns += SECOND_NS
        if found is Move.DOWN:
            limit = moved(limit, found, now_ns)
            steps.append(limit.step)

    assert steps == [1, 0]


def test_peace_that_did_not_last_is_believed_later_the_next_time() -> None:
    """Each return of the harm after a step down doubles the lease, up to a bound."""
    limit, leases = held(step=1), []
    for number in range(7):
        now_ns = number * 1000 * MINUTE_NS
        limit = moved(moved(limit, Move.DOWN, now_ns), Move.UP, now_ns)
        leases.append((limit.expires_ns - now_ns) // MINUTE_NS)

    assert leases == [2, 4, 8, 16, 16, 16, 16]


def test_renewals_are_those_of_one_step() -> None:
    """Counted from each move on."""
    limit = moved(moved(held(step=1), Move.RENEW, 0), Move.RENEW, 0)

    assert limit.renewals == 2
    assert moved(limit, Move.DOWN, 0).renewals == moved(limit, Move.UP, 0).renewals == 0


def test_a_first_climb_is_no_return() -> None:
    """From the lightest step up because it still hurts: the lease is the usual one."""
    limit = moved(moved(held(), Move.UP, 0), Move.UP, 0)

    assert (limit.step, limit.returns, limit.expires_ns) == (2, 0, MINUTE_NS)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from([True, False, None]), st.integers(1, 90)), max_size=60))
def test_a_limit_never_leaves_its_ladder(moments: list[tuple[bool, bool, bool | None, int]]) -> None:
    """Whatever comes, the step exists and a move never shortens the lease below the first one's."""
    limit, now_ns = held(), 0
    for harm, calm, helped, seconds in moments:
        now_ns += seconds * SECOND_NS
        found = next_move(limit, now_ns, steps=STEPS, harm=harm, calm=calm and not harm, helped=helped, policy=POLICY)
        if found is Move.GIVE_UP or now_ns >= limit.expires_ns:
            break
        if found is not Move.STAY:
            limit = moved(limit, found, now_ns)
            assert limit.expires_ns >= now_ns + limit.lease_ns
        assert 0 <= limit.step < STEPS


def test_peace_is_less_than_the_absence_of_harm() -> None:
    """Hysteresis: every threshold of harm is halved."""
    calm = calm_below(Symptoms(window_s=2, pressure_pct=10, target_cpu_pct=25, victim_wait_pct=10))

    assert (calm.window_s, calm.pressure_pct, calm.target_cpu_pct, calm.victim_wait_pct) == (2, 5, 12.5, 5)


def test_leases_in_succession_double_up_to_a_bound() -> None:
    """An endless job is tried without a limit ever more rarely, but it is tried."""
    assert [lease_ns_of(POLICY, n) // SECOND_NS for n in (0, 1, 2, 4, 50)] == [60, 120, 240, 960, 960]
