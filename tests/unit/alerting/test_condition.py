"""Conditions: what may be written, what it means, and that nothing else runs."""

from __future__ import annotations

import pytest
from brainkernel.alerting.expression import ExpressionError, parse
from brainkernel.alerting.readings import NAMES
from hypothesis import given
from hypothesis import strategies as st

KNOWN = ("a", "b", "avg_decision_time")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a > 3", True),
        ("a < 3", False),
        ("1 < a <= 4 and b == 0", True),
        ("a - 4 > 0 or not b > 1", True),
        ("-a < -3.5", True),
        ("(a + 2) * 2 / 4 >= 3", True),
        ("a / b > 1", None),
        ("avg_decision_time > 1", None),
        ("avg_decision_time > 1 and a < 0", False),
        ("avg_decision_time > 1 or a > 0", True),
        ("not avg_decision_time > 1", None),
    ],
)
def test_condition_means_what_arithmetic_says(text: str, holds: bool | None) -> None:
    """A division by zero and a missing figure leave it open, unless the rest decides."""
    assert parse(text, KNOWN).holds({"a": 4.0, "b": 0.0, "avg_decision_time": None}) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("avg_decison_time > 1", "did you mean 'avg_decision_time'?"),
        ("__import__('os').system('true') > 1", "is not allowed"),
        ("a.__class__ > 1", "is not allowed"),
        ("[a for a in b] > 1", "is not allowed"),
        ("(lambda: a)() > 1", "is not allowed"),
        ("a ** 9 ** 9 > 1", "is not allowed"),
        ("a > 'x'", "is not allowed"),
        ("a > 1e999", "is not allowed"),
        ("a in b", "is not allowed"),
        ("a is b", "is not allowed"),
        ("a > True", "is not allowed"),
        ("a", "is no condition"),
        ("a + 1", "is no condition"),
        ("1 < 2", "names no figure"),
        ("a >", "cannot be read"),
        ("a > 1; b", "cannot be read"),
        ("", "cannot be read"),
        ("a > \0", "cannot be read"),
        ("(" * 240 + "a" + ")" * 240 + ">1", "cannot be read"),
        ("a > " + "1" * 600, "500 characters"),
    ],
    ids=lambda text: text[:30],
)
def test_condition_refuses_all_else(text: str, says: str) -> None:
    """With the reason, and the nearest name where it is a slip."""
    with pytest.raises(ExpressionError) as error:
        parse(text, KNOWN)

    assert says in str(error.value) or "too deep" in str(error.value)


@given(st.text(alphabet="ab><=()+-*/. 01andort_[]:{}\"'\\\n", max_size=60) | st.text(max_size=60))
def test_any_text_is_a_condition_or_one_error(text: str) -> None:
    """Nothing a file holds raises anything else, and what is accepted can be evaluated."""
    try:
        condition = parse(text, KNOWN)
    except ExpressionError:
        return
    assert condition.holds({"a": 1.0, "b": 0.0, "avg_decision_time": None}) in (True, False, None)


def test_every_figure_has_a_unit_and_a_meaning() -> None:
    """The list that people see is complete."""
    assert all(unit and meaning for unit, meaning in NAMES.values())
