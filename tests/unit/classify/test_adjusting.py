"""What was learned, in the form of the shipped model: exact to half a step, bounded, and never damaged."""

from __future__ import annotations

import math

import pytest
from brainkernel.classify.adjusting import Adjusting
from brainkernel.classify.features import BUCKETS
from brainkernel.classify.model import CLASSES, SHIPPED_FILE, LocalModel
from brainkernel.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

SHIPPED = SHIPPED_FILE.read_bytes()
changes = st.lists(
    st.tuples(st.integers(0, len(CLASSES) - 1), st.integers(0, BUCKETS - 1), st.floats(-0.1, 0.1)), max_size=20, unique_by=lambda c: c[:2]
)


def adjusted(*moved: tuple[int, int, float]) -> bytes:
    adjusting = Adjusting(SHIPPED)
    adjusting.move(moved)
    return adjusting.file()


def log_odds(model: LocalModel, traits: list[int]) -> list[float]:
    shares = [math.log(share) for share in model.probabilities(traits)]
    return [share - shares[-1] for share in shares]


def test_nothing_learned_is_the_shipped_file() -> None:
    """Byte for byte."""
    assert adjusted() == SHIPPED


@given(changes)
def test_log_odds_move_by_what_was_learned(moved: list[tuple[int, int, float]]) -> None:
    """By a whole number of steps next to it, except where a weight has reached the largest; no other class or trait moves."""
    before, after = LocalModel(), LocalModel(adjusted(*moved))
    step = before.description.scale

    for of_class, trait, change in moved:
        mine = [c for c in moved if c[1] == trait]
        low, high = log_odds(before, [trait]), log_odds(after, [trait])
        others = next((c[2] for c in mine if c[0] == len(CLASSES) - 1), 0.0)
        assert abs(high[of_class] - low[of_class]) <= abs(change) + abs(others) + step + 1e-9
    untouched = next(t for t in range(BUCKETS) if t not in {c[1] for c in moved})
    assert after.probabilities([untouched]) == before.probabilities([untouched])


def test_what_was_learned_is_there() -> None:
    """Three steps are three steps, in one class of the word and in the other."""
    before = LocalModel()
    step = before.description.scale

    after = LocalModel(adjusted((0, 7, 3 * step), (5, 7, -2.4 * step)))

    moved = [high - low for low, high in zip(log_odds(before, [7]), log_odds(after, [7]), strict=True)]
    assert moved == pytest.approx([3 * step, 0, 0, 0, 0, -2 * step, 0])


def test_weight_that_reaches_the_largest_stays_there() -> None:
    """However much was learned; its neighbours in the same word are not touched."""
    model = LocalModel(adjusted((0, 7, 1e6), (1, 7, -1e6)))
    odds = log_odds(model, [7])

    assert odds[0] - odds[1] == pytest.approx(2 * 127 * model.description.scale)
    assert odds[2:] == pytest.approx(log_odds(LocalModel(), [7])[2:])


@pytest.mark.parametrize("change", [math.nan, math.inf, -math.inf])
def test_change_that_is_no_number_is_refused(change: float) -> None:
    """Nothing of it reaches a file."""
    with pytest.raises((ValueError, OverflowError)):
        adjusted((0, 7, change))


@pytest.mark.parametrize("place", [20, 300, 100_000, len(SHIPPED) - 1])
def test_model_file_with_one_changed_byte_is_refused(place: int) -> None:
    """A disk that lies is found out before it decides."""
    damaged = bytearray(adjusted((0, 7, 0.1)))
    damaged[place] ^= 0x41

    with pytest.raises(ConfigError, match="not a local model"):
        LocalModel(bytes(damaged))
