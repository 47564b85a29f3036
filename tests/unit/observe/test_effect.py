"""The effect of a limit, measured on both sides."""

import msgspec
from brainkernel.model import Action, Limit, ProcessKey, Route
from brainkernel.observe.effect import Before, outcome_of
from brainkernel.observe.window import Snapshot, Window, window_of
from support.nouns import SECOND_NS, a_symptom, a_task

HOG = ProcessKey(100, 100 * SECOND_NS)
VICTIM = ProcessKey(5000, 20 * SECOND_NS)


def before() -> Before:
    action = Action(
        id=1, target=HOG, comm="hog", route=Route.UNIT, unit="hog.service", cgroup="/system.slice/hog.service", cgroup_id=7,
        limit=Limit(cpu_quota_pct=20.0), changes=(),
    )  # fmt: skip
    return Before(action=action, symptom=a_symptom(), job=(7, "hog"))


def after(*, hog_cpu_s: float, victim_wait_s: float | None, pressure_s: float) -> Window:
    victim = a_task(5000, "mysqld", wait_s=victim_wait_s or 0.0)
    victim = msgspec.structs.replace(victim, key=VICTIM)
    tasks = [a_task(100, "hog", cpu_s=hog_cpu_s)] + ([victim] if victim_wait_s is not None else [])
    empty = Snapshot(time_ns=0, tasks={}, pressure_total_us=0, run_queue=None)
    last = Snapshot(time_ns=2 * SECOND_NS, tasks={t.key: t for t in tasks}, pressure_total_us=int(pressure_s * 1e6), run_queue=None)
    return window_of(empty, last)


def test_outcome_says_what_the_victim_gained() -> None:
    """From 50 % to 10 % of waiting is 80 % less, in a sentence a person can read."""
    outcome = outcome_of(before(), after(hog_cpu_s=0.4, victim_wait_s=0.2, pressure_s=0.2), p99_us=2000.0, throttled_pct=70.0)

    assert outcome.helped
    assert outcome.text == (
        "mysqld waited 80 % less; it used 20 % of a CPU instead of 100 % and was held back 70 % of the time;"
        " the host waited 10 % of the time instead of 60 %; run queue p99 2.0 ms instead of 9.0 ms"
    )


def test_outcome_admits_that_a_limit_did_not_help() -> None:
    """A victim that waits as before, on a host as pressed as before, was not helped."""
    outcome = outcome_of(before(), after(hog_cpu_s=0.4, victim_wait_s=1.0, pressure_s=1.2), p99_us=None, throttled_pct=None)

    assert not outcome.helped


def test_outcome_counts_a_victim_that_ended_as_served() -> None:
    """A request that got done does not wait any more."""
    outcome = outcome_of(before(), after(hog_cpu_s=0.4, victim_wait_s=None, pressure_s=1.2), p99_us=None, throttled_pct=None)

    assert outcome.helped
    assert outcome.victim_wait_pct_after == 0.0
