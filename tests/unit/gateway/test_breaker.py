"""The circuit breaker, on a clock of its own."""

from __future__ import annotations

import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.gateway.llm.breaker import FAILURES_TO_OPEN, FIRST_REST_NS, LONGEST_REST_NS, Breaker, BreakerState


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(now_boot_ns=10**12)


@pytest.fixture
def open_breaker(clock: SimulatedClock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_breaker_opens_after_failures_in_a_row(open_breaker: Breaker) -> None:
    """A backend that keeps failing is left alone."""
    assert open_breaker.state is BreakerState.OPEN
    assert not open_breaker.allows()


def test_breaker_counts_only_failures_in_a_row(clock: SimulatedClock) -> None:
    """One good answer forgets the failures before it."""
    breaker = Breaker(clock)
    for _ in range(3 * FAILURES_TO_OPEN):
        breaker.failed()
        breaker.succeeded()

    assert breaker.state is BreakerState.CLOSED


def test_breaker_lets_one_call_through_to_see(open_breaker: Breaker, clock: SimulatedClock) -> None:
    """Half-open: one trial, and nobody else until its result is in."""
    clock.now_boot_ns += FIRST_REST_NS

    assert open_breaker.state is BreakerState.HALF_OPEN
    assert open_breaker.allows()
    assert not open_breaker.allows()


def test_breaker_closes_after_a_good_trial(open_breaker: Breaker, clock: SimulatedClock) -> None:
    """A backend that recovered is used again at once, with its full credit."""
    clock.now_boot_ns += FIRST_REST_NS
    assert open_breaker.allows()
    open_breaker.succeeded()
    open_breaker.failed()

    assert open_breaker.state is BreakerState.CLOSED


def test_breaker_rests_longer_after_each_bad_trial(open_breaker: Breaker, clock: SimulatedClock) -> None:
    """The rest doubles up to its bound."""
    rests = []
    rest_ns = FIRST_REST_NS
    for _ in range(8):
        clock.now_boot_ns += rest_ns
        assert open_breaker.allows()
        open_breaker.failed()
        rest_ns = next(
            r
            for r in (rest_ns, 2 * rest_ns, LONGEST_REST_NS)
            if not _rested(open_breaker, clock, r - 1) and _rested(open_breaker, clock, r)
        )
        rests.append(rest_ns)

    assert rests == sorted(rests)
    assert rests[0] == 2 * FIRST_REST_NS
    assert rests[-1] == LONGEST_REST_NS


def _rested(breaker: Breaker, clock: SimulatedClock, after_ns: int) -> bool:
    clock.now_boot_ns += after_ns
    state = breaker.state
    clock.now_boot_ns -= after_ns
    return state is BreakerState.HALF_OPEN


def test_breaker_frees_a_trial_that_told_nothing(open_breaker: Breaker, clock: SimulatedClock) -> None:
    """A call held back by a rate limit is no result; the next one may try."""
    clock.now_boot_ns += FIRST_REST_NS
    assert open_breaker.allows()
    open_breaker.withdrawn()

    assert open_breaker.allows()


def test_breaker_does_not_rest_longer_for_calls_that_began_before_it_opened(open_breaker: Breaker, clock: SimulatedClock) -> None:
    """Stragglers of other threads do not push the trial away."""
    clock.now_boot_ns += FIRST_REST_NS - 1
    open_breaker.failed()
    clock.now_boot_ns += 1

    assert open_breaker.state is BreakerState.HALF_OPEN
