"""When a limit that stands goes up, and how long it may stand."""

from brainkernel.config import CategoryPolicy, Policy
from brainkernel.decide.ladder import Held, lease_ns_of, steps_up
from brainkernel.model import Action, Limit, ProcessKey, Route
from support.nouns import SECOND_NS, a_symptom

POLICY = Policy(step_after_s=3, lease_s=60)
LADDER = CategoryPolicy(limits=("cpu_weight=20", "cpu_quota=20%"))


def held(*, step: int = 0) -> Held:
    action = Action(
        id=1, target=ProcessKey(100, 0), comm="hog", route=Route.UNIT, unit="hog.service", cgroup="/x", cgroup_id=7,
        limit=Limit(cpu_weight=20), changes=(), started_ns=0, expires_ns=60 * SECOND_NS,
    )  # fmt: skip
    return Held(action=action, step=step, stepped_ns=0)


def test_a_limit_steps_up_while_it_still_hurts() -> None:
    """The lighter step had its time and somebody still waits."""
    assert steps_up(held(), a_symptom(), 3 * SECOND_NS, POLICY, LADDER)


def test_a_step_gets_its_time_before_the_next() -> None:
    """Two seconds do not tell whether a weight helps."""
    assert not steps_up(held(), a_symptom(), 2 * SECOND_NS, POLICY, LADDER)


def test_a_limit_that_helped_stays_as_it_is() -> None:
    """No symptom, no step."""
    assert not steps_up(held(), None, 50 * SECOND_NS, POLICY, LADDER)


def test_a_limit_at_the_top_is_not_stepped_further() -> None:
    """There is nothing beyond the last step."""
    assert not steps_up(held(step=1), a_symptom(), 10 * SECOND_NS, POLICY, LADDER)


def test_leases_in_succession_double_up_to_a_bound() -> None:
    """An endless job is tried without a limit ever more rarely, but it is tried."""
    assert [lease_ns_of(POLICY, n) // SECOND_NS for n in (0, 1, 2, 4, 50)] == [60, 120, 240, 960, 960]
