"""One number for how calm the host is and how well we behave."""

from __future__ import annotations

import math

import pytest
from brainkernel.learn.stability import WEIGHTS, Stability
from hypothesis import given
from hypothesis import strategies as st
from support.nouns import SECOND_NS

HOUR_NS = 3600 * SECOND_NS


def test_a_calm_host_is_stable() -> None:
    """Nothing happened: 1."""
    assert Stability().index(0).value == 1


def test_each_part_takes_its_weight_at_most() -> None:
    """The formula in the module's head, to the figure."""
    stability = Stability()
    for second in range(3600):
        stability.load(0.5, 0.04, second * SECOND_NS)
    for _ in range(2):
        stability.undone(HOUR_NS)
    stability.failed(HOUR_NS)

    index = stability.index(HOUR_NS)

    assert index.parts == pytest.approx({"pressure": 0.5, "queue": 0.5, "undone": 0.2, "failed": 0.1}, abs=1e-4)
    assert index.value == pytest.approx(1 - 0.125 - 0.125 - 0.06 - 0.02, abs=1e-4)
    assert sum(WEIGHTS.values()) == 1


def test_a_short_burst_is_averaged_away() -> None:
    """Ten seconds of a jammed host are no instability."""
    stability = Stability()
    for second in range(10):
        stability.load(1.0, 1.0, second * SECOND_NS)

    assert stability.index(10 * SECOND_NS).value > 0.95


def test_what_people_undid_is_forgotten_after_a_day() -> None:
    """And our own errors after an hour."""
    stability = Stability()
    stability.undone(0)
    stability.failed(0)

    assert stability.index(2 * HOUR_NS).parts["failed"] == 0
    assert stability.index(25 * HOUR_NS).parts["undone"] == 0


@given(st.lists(st.tuples(st.floats(), st.floats(), st.integers(0, 1 << 62)), max_size=20))
def test_index_stays_between_zero_and_one_whatever_is_measured(loads: list[tuple[float, float, int]]) -> None:
    """NaN, infinity, negative figures and clocks that jump included."""
    stability = Stability()
    for pressure, queue_s, now_ns in loads:
        stability.load(pressure, queue_s, now_ns)

    value = stability.index(0).value

    assert not math.isnan(value)
    assert 0 <= value <= 1
