"""The token budget: a hard stop, on a clock of its own."""

from __future__ import annotations

from brainkernel.clock import SimulatedClock
from brainkernel.gateway.llm.budget import DAY_NS, HOUR_NS, MINUTE_NS, Budget
from hypothesis import given
from hypothesis import strategies as st


def test_budget_stops_hard() -> None:
    """What would go over the limit is not spent, though there is room for less."""
    budget = Budget({HOUR_NS: 1000}, SimulatedClock())

    assert budget.reserve(600)
    assert budget.reserve(401) is None
    assert budget.reserve(400)
    assert budget.reserve(1) is None


def test_budget_gives_back_what_was_not_used() -> None:
    """A call reserves the most it may cost and settles for what it did cost."""
    budget = Budget({HOUR_NS: 1000}, SimulatedClock())
    spending = budget.reserve(1000)
    assert spending is not None
    budget.settle(spending, 300)

    assert budget.spent(HOUR_NS) == 300
    assert budget.reserve(700)


def test_budget_holds_in_each_window() -> None:
    """A new hour does not refill the day."""
    clock = SimulatedClock()
    budget = Budget({HOUR_NS: 100, DAY_NS: 150}, clock)

    assert budget.reserve(100)
    clock.now_boot_ns += HOUR_NS
    assert budget.reserve(100) is None
    assert budget.reserve(50)
    clock.now_boot_ns += DAY_NS - HOUR_NS
    assert budget.reserve(100)


def test_budget_of_nothing_lets_nothing_through() -> None:
    """0 tokens means no LLM."""
    assert Budget({HOUR_NS: 0}, SimulatedClock()).reserve(1) is None


def test_budget_says_how_long_to_wait() -> None:
    """Until enough of the oldest spendings leave the window; None where it can never be."""
    clock = SimulatedClock()
    budget = Budget({MINUTE_NS: 100}, clock)
    budget.reserve(60)
    clock.now_boot_ns += 10 * 10**9
    budget.reserve(40)

    assert budget.wait_ns(0) == 0
    assert budget.wait_ns(50) == MINUTE_NS - 10 * 10**9
    assert budget.wait_ns(70) == MINUTE_NS
    assert budget.wait_ns(101) is None


@given(st.lists(st.tuples(st.integers(0, 2 * MINUTE_NS), st.integers(0, 120)), max_size=40))
def test_budget_never_exceeds_its_limit_in_any_window(calls: list[tuple[int, int]]) -> None:
    """However calls are spread, no window of a minute holds more than the limit; and waiting as told suffices."""
    clock = SimulatedClock()
    budget = Budget({MINUTE_NS: 100}, clock)
    spent: list[tuple[int, int]] = []

    for pause_ns, tokens in calls:
        clock.now_boot_ns += pause_ns
        wait_ns = budget.wait_ns(tokens)
        reserved = budget.reserve(tokens)
        assert (reserved is not None) == (wait_ns == 0)
        if reserved is None and wait_ns is not None:
            clock.now_boot_ns += wait_ns
            reserved = budget.reserve(tokens)
            assert reserved is not None
        if reserved is not None:
            spent.append((clock.now_boot_ns, tokens))
        assert sum(t for at, t in spent if clock.now_boot_ns - at < MINUTE_NS) <= 100
