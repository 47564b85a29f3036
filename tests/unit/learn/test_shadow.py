"""When a candidate is better, and when it only had luck."""

from __future__ import annotations

import pytest
from brainkernel.learn.shadow import SIGNIFICANCE, Comparison, compare
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("won", "lost", "harmed", "better"),
    [(4, 0, 0, False), (5, 0, 0, True), (5, 1, 0, False), (8, 1, 0, True), (0, 0, 0, False), (0, 9, 0, False), (50, 0, 1, False)],
)
def test_better_needs_confidence_and_no_harm(won: int, lost: int, harmed: int, better: bool) -> None:
    """The exact sign test at 95 %; one protected program that is worse off outweighs everything."""
    assert Comparison(words=100, won=won, lost=lost, harmed=harmed).is_better is better


def test_compare_counts_where_both_differ() -> None:
    """Equal scores say nothing."""
    found = compare([(1, 0), (1, 1), (0, 1), (1, -1)], harmed=0)

    assert (found.words, found.won, found.lost) == (4, 2, 1)
    assert "better on 2 and worse on 1 of 4" in found.text


@given(st.integers(0, 400), st.integers(0, 400))
def test_chance_is_a_probability_that_falls_with_each_win(won: int, lost: int) -> None:
    """Also for hundreds of words."""
    one, more = (Comparison(words=0, won=w, lost=lost, harmed=0) for w in (won, won + 1))

    assert 0 <= one.chance <= 1
    assert not one.is_better or more.chance <= SIGNIFICANCE
