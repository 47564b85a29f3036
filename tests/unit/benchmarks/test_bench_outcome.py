"""What the benchmark concludes from its figures."""

from __future__ import annotations

import pytest
from benchmarks.outcome import OURS, Limit, Outcome, Series, above


def an_outcome(*limits: Limit, ours: tuple[float, ...] = (4, 5, 100), peers: tuple[Series, ...] = ()) -> Outcome:
    return Outcome(row="decode", figure="CPU per exec", unit="us", ours=Series(OURS, ours), peers=peers, limits=limits)


def test_the_median_counts_so_one_disturbed_run_does_not() -> None:
    """One wild run among three changes nothing."""
    assert Series("x", (5, 4, 100)).median == 5


@pytest.mark.parametrize(("factor", "met"), [(0.5, True), (0.49, False)])
def test_a_target_against_a_peer_is_judged_by_the_ratio_of_the_medians(factor: float, met: bool) -> None:
    """5 against 10 is a ratio of 0.5, and a limit is kept when it is just reached."""
    outcome = an_outcome(Limit(factor, "execsnoop"), peers=(Series("execsnoop", (10, 9, 11)),))

    assert outcome.met is met
    assert outcome.judged()[0].actual == 0.5


def test_a_target_against_a_peer_that_was_skipped_is_not_judged() -> None:
    """Without the peer nobody can say; it is neither met nor missed."""
    assert an_outcome(Limit(0.5, "execsnoop")).met is None


def test_one_missed_target_of_several_is_a_miss_even_when_another_cannot_be_judged() -> None:
    """What can be judged decides."""
    assert an_outcome(Limit(0.5, "execsnoop"), Limit(4)).met is False


def test_a_target_from_below_is_met_by_what_reaches_it() -> None:
    """100 % of the programs is at least 100 %."""
    assert an_outcome(Limit(100, at_least=True), ours=(100,)).met is True
    assert an_outcome(Limit(100, at_least=True), ours=(99.75,)).met is False


def test_a_cost_is_what_comes_on_top_of_the_load_alone() -> None:
    """The load's own median is taken from each run."""
    assert above(Series("runqlat", (15, 17)), Series("bare", (10, 11, 30))).values == (4, 6)


def test_a_peer_whose_cost_drowned_in_noise_is_not_compared_with() -> None:
    """A ratio to zero, or to less, says nothing."""
    assert an_outcome(Limit(1, "execsnoop"), peers=(Series("execsnoop", (-3, 0)),)).met is None


def test_json_has_every_run_and_each_target_with_its_answer() -> None:
    """A program can recompute the table from it."""
    outcome = an_outcome(Limit(0.5, "execsnoop"), peers=(Series("execsnoop", (20,)),))

    document = outcome.as_json()

    assert document["ours"] == {"median": 5, "runs": [4, 5, 100]}
    assert document["peers"] == {"execsnoop": {"median": 20, "runs": [20]}}
    assert document["targets"] == [{"target": "<= 0.5 x execsnoop", "measured": 0.25, "met": True}]
    assert document["met"] is True
