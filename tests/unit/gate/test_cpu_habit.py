"""Habits of CPU use: what is unlike itself."""

from brainkernel.config import Gate as GateConfig
from brainkernel.gate.anomaly import anomalies_of
from brainkernel.gate.baseline import Baseline, CpuHabit
from brainkernel.model import ReasonCode
from hypothesis import given
from hypothesis import strategies as st
from support.nouns import a_symptom


def test_habit_tells_a_usual_share_from_an_unusual_one() -> None:
    """A program that always takes 40 % is itself at 45 %, and not at 190 %."""
    habit = CpuHabit()
    for _ in range(100):
        habit.learn(40.0)

    assert not habit.unlike(45.0, factor=3)
    assert habit.unlike(190.0, factor=3)


def test_habit_does_not_become_one_wild_spell() -> None:
    """Ten samples of a runaway do not move the habit so far that the runaway looks usual."""
    habit = CpuHabit()
    for _ in range(200):
        habit.learn(5.0)
    for _ in range(10):
        habit.learn(100.0)

    assert habit.unlike(100.0, factor=3)


def test_habit_trusts_nothing_before_it_has_learned() -> None:
    """A program nobody has watched yet has no habit to excuse it."""
    assert CpuHabit().unlike(30.0, factor=3)


@given(st.lists(st.floats(0, 6400), max_size=300))
def test_habit_stays_within_what_it_saw(shares: list[float]) -> None:
    """Whatever the samples, the mean lies between the smallest and the largest of them."""
    habit = CpuHabit()
    for share in shares:
        habit.learn(share)

    assert min(shares, default=0.0) - 1e-6 <= habit.mean_pct <= max(shares, default=0.0) + 1e-6


def test_a_program_that_hurts_is_a_suspect_even_if_it_always_does() -> None:
    """Habit explains, it does not excuse."""
    baseline = Baseline()
    for _ in range(100):
        baseline.habit_of("/usr/bin/updatedb").learn(100.0)

    reasons = anomalies_of("/usr/bin/updatedb", 100.0, a_symptom(), baseline, GateConfig())

    assert [r.code for r in reasons] == [ReasonCode.RUN_DELAY]


def test_a_program_as_usual_that_hurts_nobody_is_no_suspect() -> None:
    """Nobody waits, nothing is new: nothing to think about."""
    baseline = Baseline()
    for _ in range(100):
        baseline.habit_of("/usr/bin/x").learn(100.0)

    assert anomalies_of("/usr/bin/x", 100.0, None, baseline, GateConfig()) == ()
