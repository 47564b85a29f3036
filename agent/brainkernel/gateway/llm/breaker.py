"""A circuit breaker: after some failures in a row a backend is left alone for a while."""

from __future__ import annotations

import enum
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.clock import Clock

FAILURES_TO_OPEN = 5
FIRST_REST_NS = 15 * 1_000_000_000
LONGEST_REST_NS = 300 * 1_000_000_000


class BreakerState(enum.Enum):
    """In the usual words: closed lets all through, open none, half-open one to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Counts failures in a row. Opens at `FAILURES_TO_OPEN`; each trial that fails doubles the rest."""

    def __init__(self, clock: Clock) -> None:
        """Start closed."""
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._rest_ns = FIRST_REST_NS
        self._opened_ns: int | None = None
        self._trial_under_way = False

    @property
    def state(self) -> BreakerState:
        """The state at this moment of the clock."""
        with self._lock:
            return self._state()

    def allows(self) -> bool:
        """Whether a call may be made now. Half-open grants one; its result must be reported."""
        with self._lock:
            state = self._state()
            if state is not BreakerState.HALF_OPEN:
                return state is BreakerState.CLOSED
            if self._trial_under_way:
                return False
            self._trial_under_way = True
            return True

    def succeeded(self) -> None:
        """Report a good answer: closed, and all is forgotten."""
        with self._lock:
            self._failures, self._opened_ns, self._rest_ns, self._trial_under_way = 0, None, FIRST_REST_NS, False

    def failed(self) -> None:
        """Report a failure."""
        with self._lock:
            if self._opened_ns is not None and self._trial_under_way:
                self._rest_ns = min(2 * self._rest_ns, LONGEST_REST_NS)
                self._opened_ns = self._clock.boot_ns()
            self._trial_under_way = False
            self._failures += 1
            if self._opened_ns is None and self._failures >= FAILURES_TO_OPEN:
                self._opened_ns = self._clock.boot_ns()

    def withdrawn(self) -> None:
        """Report that the call told nothing about the backend (it was held back by a rate limit): a trial is free again."""
        with self._lock:
            self._trial_under_way = False

    def _state(self) -> BreakerState:
        if self._opened_ns is None:
            return BreakerState.CLOSED
        rested = self._clock.boot_ns() - self._opened_ns >= self._rest_ns
        return BreakerState.HALF_OPEN if rested else BreakerState.OPEN
