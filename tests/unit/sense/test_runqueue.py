from __future__ import annotations

import pytest
from brainkernel.sense.runqueue import median_and_p99_us, quantile_us
from hypothesis import given
from hypothesis import strategies as st

COUNTS = st.lists(st.integers(0, 10**6), min_size=64, max_size=64)


def test_quantiles_of_nothing_are_none() -> None:
    """Nobody was switched to: there is no wait to speak of, not one of zero."""
    assert median_and_p99_us([0] * 64) is None


def test_quantiles_are_spread_within_their_slot() -> None:
    """A hundred waits of one slot lie evenly in it."""
    quantiles = median_and_p99_us([100 * (slot == 20) for slot in range(64)])

    assert quantiles is not None
    assert list(quantiles) == pytest.approx([1048.576 * 1.5, 1048.576 * 1.99], rel=0.01)


@given(COUNTS.filter(any), st.floats(0.01, 1))
def test_quantile_lies_in_a_slot_that_was_counted(counts: list[int], quantile: float) -> None:
    """The answer is off by less than a factor of two, never by a slot."""
    answer = quantile_us(counts, quantile)

    assert answer is not None
    ns = answer * 1000
    below = sum(c for slot, c in enumerate(counts) if 2.0 ** (slot + 1) <= ns * (1 - 1e-9))
    above = sum(c for slot, c in enumerate(counts) if (2.0**slot if slot else 0) < ns * (1 + 1e-9))
    rank = quantile * sum(counts)
    assert below <= rank * (1 + 1e-9)
    assert above >= rank * (1 - 1e-9)


@given(COUNTS.filter(any))
def test_quantiles_do_not_cross(counts: list[int]) -> None:
    """p99 is at least p50."""
    p50, p99 = quantile_us(counts, 0.5), quantile_us(counts, 0.99)

    assert p50 is not None
    assert p99 is not None
    assert p99 >= p50
