"""Habits of CPU use: what is unlike itself."""

import pytest
from brainkernel.config import Gate as GateConfig
from brainkernel.gate.anomaly import Unlike, anomalies_of
from brainkernel.gate.baseline import Baseline, CpuHabit
from brainkernel.model import ProcessKey, ReasonCode
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


KEY = ProcessKey(100, 0)


def unlike_of(usual_pct: float, samples: int = 100) -> Unlike:
    """A host that is used to one program."""
    baseline = Baseline()
    for _ in range(samples):
        baseline.habit_of("/usr/bin/x").learn(usual_pct)
    return Unlike(baseline, GateConfig(cpu_share_min_pct=25, baseline_factor=3, fork_storm_per_s=100))


def test_program_unlike_itself_is_told_once_with_numbers() -> None:
    """Ten windows of the same runaway are one suspect."""
    unlike = unlike_of(10.0)

    told = [unlike.by_share(KEY, "/usr/bin/x", 95.0) for _ in range(10)]

    assert [(r.code, r.text) for r in told if r] == [(ReasonCode.CPU_SHARE, "takes 95 % of a CPU (usually 10 %)")]


@pytest.mark.parametrize(("between_pct", "times"), [(28.0, 1), (20.0, 2), (0.0, 2)], ids=["just below", "well below", "asleep"])
def test_program_is_told_again_only_after_it_was_itself_again(between_pct: float, times: int) -> None:
    """A share that wavers around the bound (30 %) is one episode: it ends below seven tenths of that."""
    unlike = unlike_of(10.0)

    told = [unlike.by_share(KEY, "/usr/bin/x", share_pct) for share_pct in (40.0, between_pct, 40.0)]

    assert len([r for r in told if r]) == times


def test_program_that_is_being_learned_has_no_habit_to_break() -> None:
    """For 30 samples nothing but harm makes it a suspect."""
    assert unlike_of(10.0, samples=29).by_share(KEY, "/usr/bin/x", 95.0) is None
    assert unlike_of(10.0, samples=30).by_share(KEY, "/usr/bin/x", 95.0) is not None


def test_interpreter_has_no_habit_to_break() -> None:
    """What one script takes says nothing of the next."""
    baseline = Baseline()
    for _ in range(100):
        baseline.habit_of("/usr/bin/python3.11").learn(10.0)

    assert Unlike(baseline, GateConfig()).by_share(KEY, "/usr/bin/python3.11", 95.0) is None


def test_small_share_is_never_unlike() -> None:
    """From 1 % to 20 % of a CPU is twenty times as much, and nobody's concern."""
    assert unlike_of(1.0).by_share(KEY, "/usr/bin/x", 20.0) is None


def test_fork_storm_is_told_once_until_it_is_over() -> None:
    """More than a hundred a second that stay, in a window of two seconds."""
    unlike = unlike_of(1.0)
    job = (7, "bash")

    told = [unlike.by_births(job, born, 2.0) for born in (200, 201, 500, 150, 300, 139, 260)]

    assert [r.text for r in told if r] == ["201 processes of its name began within 2 s", "260 processes of its name began within 2 s"]


def test_fork_storms_can_be_turned_off() -> None:
    """0 is no bound of none."""
    unlike = unlike_of(1.0)
    unlike.config = GateConfig(fork_storm_per_s=0)

    assert unlike.by_births((7, "bash"), 10_000, 2.0) is None


def test_ended_processes_are_forgotten() -> None:
    """Memory does not grow with the host's age, and a new process of that program is judged anew."""
    unlike = unlike_of(10.0)
    unlike.by_share(KEY, "/usr/bin/x", 95.0)

    unlike.keep_only([])

    assert unlike.by_share(KEY, "/usr/bin/x", 95.0) is not None
