"""Where figures go, and when they cross their bounds."""

from __future__ import annotations

from random import Random

import pytest
from brainkernel.monitoring.trend import POINTS_MIN, slope_of


def test_trend_of_a_line_is_its_slope_and_the_breach_its_crossing() -> None:
    """10 a step of 300 s from 0: at 35 it stands at 350, and 1000 is 65 steps away."""
    values = [10.0 * step for step in range(36)]

    trend = slope_of(values, 300, bound=1000)

    assert trend.per_s == pytest.approx(10 / 300)
    assert trend.breach_in_s == pytest.approx((1000 - 340) / (10 / 300))


def test_trend_is_not_moved_by_a_fifth_of_wild_values() -> None:
    """Spikes are not a slope."""
    dice = Random(5)  # noqa: S311 # the same draws each time
    values: list[float | None] = [2.0 * step + (1e6 if dice.random() < 0.2 else 0) for step in range(36)]

    assert slope_of(values, 1).per_s == pytest.approx(2.0, rel=0.1)


def test_noise_has_no_trend() -> None:
    """At 99 % a figure that wanders is seldom said to go anywhere: in at most 3 of 100 draws."""
    dice = Random(6)  # noqa: S311 # the same draws each time
    found = [slope_of([dice.gauss(0, 1) for _ in range(36)], 300, bound=5).per_s for _ in range(100)]

    assert sum(per_s is not None for per_s in found) <= 3


@pytest.mark.parametrize(
    ("values", "above", "breach"),
    [
        ([5.0] * 36, True, None),
        ([15.0] * 36, True, 0.0),
        ([5.0] * 36, False, 0.0),
        ([float(36 - step) for step in range(36)], False, 0.0),
        ([100.0 - step for step in range(36)], False, 56.0),
        ([100.0 - step for step in range(36)], True, 0.0),
        ([float(step) / 1e9 for step in range(36)], True, None),
    ],
    ids=["flat", "beyond", "below", "fell below", "falls", "above already", "in a thousand years"],
)
def test_breach_is_forecast_from_the_right_side(values: list[float], above: bool, breach: float | None) -> None:
    """0: crossed already; None: it does not go there, or not in this life."""
    found = slope_of(values, 1, bound=10, above=above).breach_in_s

    assert found == (breach if breach is None else pytest.approx(breach))


def test_gaps_and_few_points_say_nothing() -> None:
    """Three values are no trend; a gap counts its time."""
    few: list[float | None] = [1.0, 2.0, 3.0]
    gapped = [float(step) if step % 2 else None for step in range(2 * POINTS_MIN)]

    assert slope_of(few, 1).per_s is None
    assert slope_of([None] * 40, 1).per_s is None
    assert slope_of(gapped, 2).per_s == pytest.approx(0.5)
