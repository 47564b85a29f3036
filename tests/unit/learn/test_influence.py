"""What a loud or lying voice can do to what is learned: little."""

from __future__ import annotations

from typing import Any

import pytest
from brainkernel.learn.influence import SOURCE_MAX, SUBJECT_MAX, Word, agreed, bounded
from hypothesis import given
from hypothesis import strategies as st


def a_word(number: int, **changes: Any) -> Word:
    plain: dict[str, Any] = {"id": number, "subject": 1, "source": "uid 0", "label": 0, "weight": 1.0, "traits": [1]}
    return Word(**(plain | changes))


words = st.lists(
    st.builds(
        a_word, st.integers(1, 10_000), subject=st.integers(0, 20), source=st.sampled_from("abc"), label=st.integers(0, 2), weight=st.floats(0.1, 1)
    ),
    max_size=60,
)  # fmt: skip


def test_repeating_a_word_makes_it_no_heavier() -> None:
    """A hundred times the same from one source is worth two words."""
    assert sum(w.weight for w in bounded([a_word(n) for n in range(100)])) == pytest.approx(SUBJECT_MAX)


def test_a_source_weighs_no_more_than_all_others_together() -> None:
    """A thousand programs named by one voice, and two hundred by others."""
    loud = [a_word(n, subject=n, source="loud") for n in range(1000)]
    others = [a_word(2000 + n, subject=2000 + n, source=f"other {n % 5}") for n in range(200)]

    kept = bounded(loud + others)

    assert sum(w.weight for w in kept if w.source == "loud") == pytest.approx(200)
    assert sum(w.weight for w in kept if w.source != "loud") == pytest.approx(200)


@given(words)
def test_bounds_hold_whatever_is_said(said: list[Word]) -> None:
    """No word becomes heavier, no subject's source heavier than two words, no source heavier than the rest and its own share."""
    kept = bounded(said)
    whole = sum(w.weight for w in said)

    assert len(kept) == len(said)
    assert all(k.weight <= 1 + 1e-9 for k in kept)
    for source in "abc":
        mine = [k for k in kept if k.source == source]
        assert sum(k.weight for k in mine) <= max(SOURCE_MAX, whole - sum(w.weight for w in said if w.source == source)) + 1e-6
        for subject in range(21):
            assert sum(k.weight for k in mine if k.subject == subject) <= SUBJECT_MAX + 1e-9


def test_the_newest_word_of_a_source_counts() -> None:
    """Who changes their mind has one opinion."""
    assert [(w.id, w.label) for w in agreed([a_word(1, label=0), a_word(2, label=1)])] == [(2, 1)]


@pytest.mark.parametrize(
    ("labels", "kept"), [([0, 1], []), ([0, 0, 1], [0, 0]), ([0, 0, 1, 1, 2], [])], ids=["one against one", "two thirds", "three opinions"]
)
def test_contradiction_teaches_nothing(labels: list[int], kept: list[int]) -> None:
    """Of a program about which the sources do not agree by two thirds nothing is learned; the minority's words are not."""
    said = [a_word(n, source=f"uid {n}", label=label) for n, label in enumerate(labels)]

    assert [w.label for w in agreed(said)] == kept
