"""How right the decisions were."""

from __future__ import annotations

from typing import Any

import pytest
from brainkernel.config import Quality
from brainkernel.learn.quality import (
    VOTES_MAX,
    Evaluator,
    Measure,
    Rate,
    judgement_of_feedback,
    judgement_of_undo,
    wilson,
)
from brainkernel.model import Category, DecisionKind, Feedback, Judgement, JudgementSource
from hypothesis import given
from hypothesis import strategies as st
from support.nouns import SECOND_NS
from support.stores import NOON_NS, a_decision

MINUTE_NS, HOUR_NS = 60 * SECOND_NS, 3600 * SECOND_NS


def a_judgement(decision_id: int, **changes: Any) -> Judgement:
    plain: dict[str, Any] = {
        "time_ns": NOON_NS, "decision_id": decision_id, "source": JudgementSource.FEEDBACK, "limited": True, "act_right": True,
    }  # fmt: skip
    return Judgement(**(plain | changes))


def rate_of(evaluator: Evaluator, measure: Measure, window: str = "total", now_ns: int = NOON_NS) -> Rate:
    return next(r for r in evaluator.rates(now_ns) if r.measure is measure and r.window == window)


def test_quality_counts_to_the_figure() -> None:
    """Twenty limits of which three were wrong, and two left alone that should have been limited."""
    evaluator = Evaluator(Quality())
    for number in range(20):
        evaluator.add(a_judgement(number, act_right=number >= 3, category_right=number % 2 == 0, content=number >= 3))
    for number in (100, 101):
        evaluator.add(a_judgement(number, limited=False, act_right=False))

    assert rate_of(evaluator, Measure.FALSE_POSITIVE).value == pytest.approx(3 / 20)
    assert rate_of(evaluator, Measure.FALSE_NEGATIVE).value == pytest.approx(2 / 19)
    assert rate_of(evaluator, Measure.CORRECT_CLASSIFICATION).value == pytest.approx(0.5)
    assert rate_of(evaluator, Measure.SATISFACTION).value == pytest.approx(17 / 20)


def test_quality_shows_no_rate_out_of_three_samples() -> None:
    """Three words are three words, not 100 %."""
    evaluator = Evaluator(Quality())
    for number in range(3):
        evaluator.add(a_judgement(number))

    rate = rate_of(evaluator, Measure.FALSE_POSITIVE)

    assert (rate.samples, rate.value, rate.low, rate.high) == (3, None, None, None)


def test_measured_effects_count_as_much_as_they_weigh() -> None:
    """Forty effects at 0.25 are ten samples, thirty-nine are not enough."""
    evaluator = Evaluator(Quality())
    for number in range(39):
        evaluator.add(a_judgement(number, source=JudgementSource.EFFECT))
    before = rate_of(evaluator, Measure.FALSE_POSITIVE).value
    evaluator.add(a_judgement(39, source=JudgementSource.EFFECT))

    assert before is None
    assert rate_of(evaluator, Measure.FALSE_POSITIVE).value == 0


def test_a_persons_word_goes_before_the_measurement_in_either_order() -> None:
    """One decision is one sample: the heaviest word, and of equal ones the newest."""
    evaluator = Evaluator(Quality(min_samples=1))
    evaluator.add(a_judgement(1, act_right=False))
    evaluator.add(a_judgement(1, source=JudgementSource.EFFECT, act_right=True))

    rate = rate_of(evaluator, Measure.FALSE_POSITIVE)
    evaluator.add(a_judgement(1, act_right=True))

    assert (rate.value, rate.samples) == (1, 1)
    assert rate_of(evaluator, Measure.FALSE_POSITIVE).value == 0


def test_windows_hold_what_is_young_enough() -> None:
    """An hour, a day, a week, all; a word from a clock that was set back is new."""
    evaluator = Evaluator(Quality(min_samples=1))
    ages_ns = (-HOUR_NS, HOUR_NS, 2 * HOUR_NS, 30 * HOUR_NS, 200 * HOUR_NS)
    for number, age_ns in enumerate(ages_ns):
        evaluator.add(a_judgement(number, time_ns=NOON_NS - age_ns))

    assert [rate_of(evaluator, Measure.FALSE_POSITIVE, w).samples for w in ("1h", "24h", "7d", "total")] == [2, 3, 4, 5]


def test_evaluator_is_bounded() -> None:
    """A million words cost no more memory than some thousands."""
    evaluator = Evaluator(Quality())
    for number in range(VOTES_MAX + 10):
        evaluator.add(a_judgement(number))

    assert rate_of(evaluator, Measure.FALSE_POSITIVE).samples == VOTES_MAX


def test_wilson_matches_the_published_figures() -> None:
    """81 of 263 is 0.2553 to 0.3662 (Newcombe 1998, table I, method 3)."""
    assert list(wilson(81, 263)) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    assert list(wilson(0, 20)) == pytest.approx([0.0, 0.1611], abs=5e-5)


@given(samples=st.floats(1, 1e6), share=st.floats(0, 1))
def test_wilson_holds_the_share_and_stays_between_zero_and_one(samples: float, share: float) -> None:
    """At any size, also at the ends."""
    low, high = wilson(share * samples, samples)

    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


def test_bad_word_about_a_limit_says_that_it_was_wrong_and_a_label_what_it_is() -> None:
    """What a person did not say is not concluded."""
    decision = a_decision(kind=DecisionKind.LIMIT)

    plain = judgement_of_feedback(decision, Feedback(time_ns=NOON_NS, good=False))
    labelled = judgement_of_feedback(decision, Feedback(time_ns=NOON_NS, good=False, label=Category.INTERACTIVE))

    assert (plain.limited, plain.act_right, plain.category_right, plain.content) == (True, False, None, False)
    assert labelled.category_right is False


def test_word_about_a_note_says_only_what_the_program_is() -> None:
    """Nobody was hurt, so leaving it alone can be no mistake."""
    noted = judgement_of_feedback(a_decision(), Feedback(time_ns=NOON_NS, good=False))

    assert (noted.act_right, noted.category_right) == (None, False)


def test_undo_within_ten_minutes_is_a_word_and_later_is_none() -> None:
    """After ten minutes the need may just be over."""
    decision = a_decision(kind=DecisionKind.LIMIT)

    early, late = judgement_of_undo(decision, NOON_NS + 9 * MINUTE_NS), judgement_of_undo(decision, NOON_NS + 11 * MINUTE_NS)

    assert early is not None
    assert early.act_right is False
    assert late is None
