"""A model that was right becomes wrong: said soon, and not said of chance."""

from __future__ import annotations

import random

from brainkernel.learn.drift import Drift, Level


def answers(count: int, share_wrong: float, seed: int) -> list[bool]:
    draw = random.Random(seed)  # noqa: S311 # reproducible, not secret
    return [draw.random() < share_wrong for _ in range(count)]


def test_drift_is_found_when_mistakes_become_more() -> None:
    """From 5 % to 40 %: within a hundred answers."""
    drift = Drift()
    for wrong in answers(500, 0.05, 1):
        drift.add(wrong=wrong)

    later = [drift.add(wrong=wrong) for wrong in answers(100, 0.4, 2)]

    assert Level.WARNING in later
    assert Level.DRIFT in later


def test_drift_is_not_found_where_nothing_changes() -> None:
    """Twenty hosts with a thousand answers each at a constant 10 %: hardly one of them alarms."""
    alarmed = 0
    for seed in range(20):
        drift = Drift()
        alarmed += Level.DRIFT in [drift.add(wrong=wrong) for wrong in answers(1000, 0.1, seed)]

    assert alarmed <= 1


def test_drift_counts_anew_after_it_was_found() -> None:
    """What is wrong now is the new normal, until it changes again."""
    drift = Drift()
    for wrong in [*answers(300, 0.02, 3), *[True] * 60]:
        if drift.add(wrong=wrong) is Level.DRIFT:
            break

    assert drift.add(wrong=False) is Level.STABLE
