"""How many tokens may still be spent: a hard stop over sliding windows."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from brainkernel.clock import Clock
    from brainkernel.gateway.llm.spendingfile import SpendingFile

MINUTE_NS = 60 * 1_000_000_000
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


@dataclass(slots=True, eq=False)
class Spending:
    """Tokens set aside for one call, later what it really cost."""

    at_ns: int
    tokens: int
    minute: int = 0  # of the file, where there is one


class Budget:
    """Tokens allowed per window length. A call first reserves the most it may cost, then says what it did cost.

    So calls under way count, and the sum over any window stays within its limit as long as no call costs more than
    it reserved. A limit of 0 means none may be spent.
    """

    def __init__(self, limits: Mapping[int, int], clock: Clock, file: SpendingFile | None = None) -> None:
        """`limits`: window in nanoseconds -> tokens. What `file` holds of the time before counts as spent, and it learns of all that is spent."""
        self._limits = dict(limits)
        self._longest_ns = max(limits, default=0)
        self._clock = clock
        self._lock = threading.Lock()
        self._file = file
        now_ns = clock.boot_ns()
        before = sorted(file.spent(), reverse=True) if file is not None else ()
        self._spendings = deque(Spending(now_ns - age_ns, tokens) for age_ns, tokens in before)

    def reserve(self, tokens: int) -> Spending | None:
        """Set `tokens` aside, or None if some window has no room for them."""
        with self._lock:
            now_ns = self._clock.boot_ns()
            self._forget(now_ns)
            if any(self._spent(window, now_ns) + tokens > limit for window, limit in self._limits.items()):
                return None
            spending = Spending(now_ns, tokens)
            if self._file is not None:
                spending.minute = self._file.add(tokens)  # before the call: a crash during it must not give its tokens back
            self._spendings.append(spending)
            return spending

    def settle(self, spending: Spending, tokens: int) -> None:
        """Replace what was reserved by what was spent."""
        with self._lock:
            if self._file is not None and tokens != spending.tokens:
                self._file.add(tokens - spending.tokens, spending.minute)
            spending.tokens = tokens

    def wait_ns(self, tokens: int) -> int | None:
        """How long until `tokens` could be reserved if nothing else is; 0: now; None: never, the limit is below it."""
        with self._lock:
            now_ns = self._clock.boot_ns()
            self._forget(now_ns)
            waits = [self._wait_in(window, limit, tokens, now_ns) for window, limit in self._limits.items()]
        return None if None in waits else max((w for w in waits if w is not None), default=0)

    def spent(self, window_ns: int) -> int:
        """Tokens spent or reserved in the last `window_ns`."""
        with self._lock:
            return self._spent(window_ns, self._clock.boot_ns())

    def _spent(self, window_ns: int, now_ns: int) -> int:
        return sum(s.tokens for s in self._spendings if now_ns - s.at_ns < window_ns)

    def _wait_in(self, window_ns: int, limit: int, tokens: int, now_ns: int) -> int | None:
        if tokens > limit:
            return None
        excess = self._spent(window_ns, now_ns) + tokens - limit
        for spending in self._spendings:
            if excess <= 0:
                break
            left_ns = window_ns - (now_ns - spending.at_ns)
            if left_ns > 0:
                excess -= spending.tokens
                if excess <= 0:
                    return left_ns
        return 0

    def _forget(self, now_ns: int) -> None:
        while self._spendings and now_ns - self._spendings[0].at_ns >= self._longest_ns:
            self._spendings.popleft()
