"""Reading what a model wrote: strict, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from brainkernel.gateway.llm.answer import Reading, read_answer
from brainkernel.gateway.llm.failure import Cause
from brainkernel.link.frames import frame_of
from brainkernel.link.messages import Answers, ProposedVerdict
from brainkernel.model import Category
from hypothesis import given
from hypothesis import strategies as st
from support.questions import an_answer, an_entry

GOOD = ProposedVerdict(Category.BACKGROUND, 0.9, "indexes files")


def test_answer_is_read_in_order() -> None:
    """One verdict per question, each from its own entry."""
    text = an_answer(an_entry(1), an_entry(2, category="service", confidence=1))

    assert read_answer(text, 2) == Reading((GOOD, ProposedVerdict(Category.SERVICE, 1.0, "indexes files")))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", Cause.NOT_JSON),
        ("I think it is a background job.", Cause.NOT_JSON),
        ("<html><body>502 Bad Gateway</body></html>", Cause.NOT_JSON),
        (an_answer()[:-2], Cause.NOT_JSON),
        (f"```json\n{an_answer()}\n```", Cause.NOT_JSON),
        (an_answer() + an_answer(), Cause.NOT_JSON),
        ("[" * 50_000, Cause.NOT_JSON),
        ('{"verdicts":' * 20_00 + "1" + "}" * 20_00, Cause.NOT_JSON),
        (an_answer(an_entry(confidence=float("nan"))), Cause.NOT_JSON),
        (an_answer(an_entry(confidence=float("inf"))), Cause.NOT_JSON),
        (an_answer().replace("0.9", "1" * 5000), Cause.NOT_JSON),
        (" " * (10 << 20), Cause.TOO_LARGE),
        ("null", Cause.WRONG_SCHEMA),
        ("[]", Cause.WRONG_SCHEMA),
        ("{}", Cause.WRONG_SCHEMA),
        ('{"verdicts":{}}', Cause.WRONG_SCHEMA),
        (json.dumps({"verdicts": [an_entry()], "note": "hi"}), Cause.WRONG_SCHEMA),
        ('{"verdicts":[],"verdicts":[]}', Cause.WRONG_SCHEMA),
        ('{"verdicts":[{"n":1,"reason":"","category":"suspicious","category":"service","confidence":1}]}', Cause.WRONG_SCHEMA),
        ('{"verdicts":[]}', Cause.COUNT_MISMATCH),
        (an_answer(an_entry(1), an_entry(2)), Cause.COUNT_MISMATCH),
        (an_answer(an_entry(2)), Cause.COUNT_MISMATCH),
    ],
    ids=lambda value: value.value if isinstance(value, Cause) else str(value)[:30],
)
def test_answer_with_a_wrong_envelope_is_nothing(text: str, cause: Cause) -> None:
    """Prose, HTML, torn or nested or huge JSON, duplicate keys, the wrong number: no verdict, and the cause by name."""
    assert read_answer(text, 1) == Reading((None,), cause)


@pytest.mark.parametrize(
    "fields",
    [
        {"category": "benign"},
        {"category": "SERVICE"},
        {"category": ["service"]},
        {"category": None},
        {"confidence": 1e15},
        {"confidence": -0.01},
        {"confidence": True},
        {"confidence": "0.9"},
        {"confidence": None},
        {"confidence": 10**400},
        {"reason": 7},
        {"reason": "x" * 513},
        {"n": True},
        {"may_act": True},
    ],
    ids=str,
)
def test_answer_entry_that_is_wrong_spoils_itself_only(fields: dict[str, Any]) -> None:
    """A made-up category, an impossible confidence, an extra field: that entry is None, its neighbour stands."""
    reading = read_answer(an_answer(an_entry(1, **fields), an_entry(2)), 2)

    assert reading == Reading((None, GOOD), Cause.WRONG_SCHEMA)
    assert not reading.empty


@pytest.mark.parametrize("entry", [None, 1, "service", [], {}, {"n": 1}])
def test_answer_entry_of_another_shape_is_none(entry: Any) -> None:
    """An entry is an object with exactly the four keys."""
    assert read_answer(an_answer(entry), 1).empty


def test_answer_out_of_order_is_nothing() -> None:
    """When entries are swapped, nobody knows which program they mean."""
    assert read_answer(an_answer(an_entry(2), an_entry(1)), 2) == Reading((None, None), Cause.COUNT_MISMATCH)


def test_answer_reason_is_escaped_and_bounded() -> None:
    """A reason cannot carry a terminal's or a page's commands, and fits the wire even when every character grows."""
    (verdict,) = read_answer(an_answer(an_entry(reason="\x1b[2J\u202e" * 100)), 1).verdicts

    assert verdict is not None
    assert verdict.reason.startswith("\\x1b[2J\\u202e")
    assert len(verdict.reason) == 512


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["verdicts", "n", "reason", "category", "x"]), inner),
    max_leaves=15,
)
entries = st.fixed_dictionaries(
    {"n": st.integers(1, 3) | json_values, "reason": st.text() | json_values},
    optional={"category": st.sampled_from([c.value for c in Category]) | json_values, "confidence": st.floats() | json_values},
)
texts = st.text() | json_values.map(json.dumps) | st.lists(entries, max_size=4).map(lambda made: json.dumps({"verdicts": made}))


@given(texts, st.integers(1, 8))
def test_answer_is_always_what_the_wire_takes(text: str, count: int) -> None:
    """Whatever a model writes: one entry per question, each inside the schema, encodable, and a cause for each gap."""
    reading = read_answer(text, count)

    assert len(reading.verdicts) == count
    assert (reading.cause is None) == (None not in reading.verdicts)
    assert all(v is None or (0 <= v.confidence <= 1 and len(v.reason) <= 512) for v in reading.verdicts)
    frame_of(Answers("x" * 32, reading.verdicts))
