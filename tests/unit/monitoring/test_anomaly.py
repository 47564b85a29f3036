"""Which figures are unlike themselves."""

from __future__ import annotations

from random import Random

from brainkernel.monitoring.anomaly import BEGIN_S, END_S, WARM_UP, Usual
from hypothesis import given
from hypothesis import strategies as st


def used_to(mean: float, spread: float, seconds: int = 2000) -> Usual:
    usual, dice = Usual(floor=0.0), Random(7)  # noqa: S311 # the same draws each time
    for _ in range(seconds):
        usual.watch(dice.gauss(mean, spread))
    return usual


def test_figure_that_wanders_as_ever_is_no_anomaly() -> None:
    """A day of noise with single spikes tells nothing."""
    usual, dice = used_to(100, 10), Random(1)  # noqa: S311 # the same draws each time

    changes = sum(usual.watch(dice.gauss(100, 10) if second % 977 else 1e6) for second in range(86_400))

    assert changes == 0


def test_figure_that_jumps_is_told_once_and_again_when_it_is_back() -> None:
    """Not for a moment's spike, and not each second."""
    usual, dice = used_to(100, 10), Random(2)  # noqa: S311 # the same draws each time

    before = [usual.watch(300) for _ in range(BEGIN_S - 1)]
    begins = [usual.watch(300 + dice.gauss(0, 10)) for _ in range(60)]
    ends = [usual.watch(dice.gauss(100, 10)) for _ in range(END_S + 5)]

    assert not any(before)
    assert begins.count(True) == 1
    assert begins[0]
    assert ends.count(True) == 1
    assert not usual.anomalous


def test_what_lasts_becomes_usual() -> None:
    """A new level is told and then learned, so that it is not an anomaly for ever."""
    usual, dice = used_to(100, 10), Random(3)  # noqa: S311 # the same draws each time
    changes = [usual.watch(dice.gauss(200, 10)) for _ in range(40_000)]

    assert changes.count(True) == 2
    assert not usual.anomalous
    assert 190 < usual.mean < 210


def test_nothing_is_judged_before_it_is_known() -> None:
    """In its first minutes a figure may do what it likes."""
    usual = Usual(floor=1.0)

    assert not any(usual.watch(float(10 ** (second % 7))) for second in range(WARM_UP))


def test_small_differences_of_a_constant_figure_are_none() -> None:
    """The floor: memory that never moved and grows by a page is no news."""
    usual = Usual(floor=1000.0)
    for _ in range(1000):
        usual.watch(5.0)

    assert not any(usual.watch(900.0) for _ in range(100))
    assert any(usual.watch(5000.0) for _ in range(100))


@given(st.lists(st.floats(-1e12, 1e12), max_size=500))
def test_usual_stays_a_number_whatever_comes(values: list[float]) -> None:
    """No value makes it forget how to compare."""
    usual = Usual(floor=1.0)
    for value in values:
        usual.watch(value)

    assert usual.mean == usual.mean
    assert usual.deviation >= 0
