"""Learning on top of a model: down the loss, as much as the words weigh, and not at all where nothing was said."""

from __future__ import annotations

import math

import pytest
from brainkernel.learn.softmax import MINIBATCH, Example, Softmax, minibatches
from hypothesis import given
from hypothesis import strategies as st

BASE = (0.0, 2.0)
traits = st.lists(st.integers(0, 63), min_size=1, max_size=20, unique=True)
examples = st.builds(Example, traits, st.integers(0, 1), st.floats(0.1, 2), st.just(BASE))


def loss(model: Softmax, batch: list[Example]) -> float:
    return -math.fsum(e.weight * math.log(model.shares(e.traits, e.base)[e.label]) for e in batch)


def test_nothing_learned_is_the_model_below() -> None:
    """The shares are those of the base, whatever the traits."""
    model = Softmax(2, 64)

    assert model.shares([1, 2, 3], BASE) == pytest.approx([1 / (1 + math.e**2), math.e**2 / (1 + math.e**2)])
    assert list(model.changes()) == []


@given(st.lists(examples, min_size=1, max_size=MINIBATCH))
def test_a_step_makes_the_loss_smaller(batch: list[Example]) -> None:
    """Of any minibatch, at the rate that is used."""
    model = Softmax(2, 64)
    before = loss(model, batch)

    model.learn(batch)

    assert loss(model, batch) < before


def test_a_step_is_the_gradient_of_the_log_loss() -> None:
    """Rate (0.01) times weight times what the share lacks, for each trait of the example and for no other."""
    model = Softmax(2, 64)
    share = model.shares([5], BASE)[0]

    model.learn([Example([5], 0, 0.5, BASE)])

    assert {(c, t): w for c, t, w in model.changes()} == {
        (0, 5): pytest.approx(0.01 * 0.5 * (1 - share)),
        (1, 5): pytest.approx(-0.01 * 0.5 * (1 - share)),
    }


def test_a_minibatch_moves_the_weights_once() -> None:
    """Two equal examples in one batch are one step twice as long, not two steps."""
    once, twice = Softmax(2, 64), Softmax(2, 64)

    once.learn([Example([5], 0, 2.0, BASE)])
    twice.learn([Example([5], 0, 1.0, BASE)] * 2)

    assert [weight for _, _, weight in once.changes()] == pytest.approx([weight for _, _, weight in twice.changes()])


@given(st.integers(1, 200))
def test_minibatches_hold_each_example_once_per_epoch(count: int) -> None:
    """32 at a time, mixed, and in the same order each time."""
    words = [Example([0], 0, float(number), BASE) for number in range(count)]

    batches = list(minibatches(words, epochs=2))

    assert sorted(e.weight for batch in batches for e in batch) == sorted([float(n) for n in range(count)] * 2)
    assert [len(batch) for batch in batches] == 2 * ([32] * (count // 32) + [count % 32] * bool(count % 32))
    assert batches == list(minibatches(words, epochs=2))
