"""What an alert about wrong limits does to the latest change: whom it blames, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.errors import UsageError
from brainkernel.versioning.trial import is_no_way_back, is_worse, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.learn.quality import Rate
    from brainkernel.versioning.versioning import Versioning

EVERY_NS = 60_000_000_000


class TakingBack:
    """`do` when an alert asks for it, `undo` when it resolves, `tick` meanwhile."""

    def __init__(self, versioning: Versioning, wrong_limits: Callable[[], dict[int, Rate]], clock: Clock) -> None:
        self._versioning = versioning
        self._wrong_limits = wrong_limits
        self._clock = clock
        self._asked = False
        self._due_ns = 0

    def do(self) -> str:
        """Take the latest change back, unless the version before is known to be worse; says what was done."""
        self._asked, self._due_ns = True, self._clock.boot_ns() + EVERY_NS
        before, now = self._both()
        if is_no_way_back(before, now):
            return f"it stays, since the version before did worse: {text_of(before)}, now {text_of(now)}"
        return self._versioning.after_alert()

    def undo(self) -> str:
        """The alert is over; what was taken back stays so."""
        self._asked = False
        return self._versioning.alert_over()

    def tick(self) -> None:
        """While the alert lasts: what turns out to be worse than the version before is taken back, too.

        Nothing less will do then: it may be the change by which a person mends what the alert is about.
        """
        if not self._asked or self._clock.boot_ns() < self._due_ns:
            return
        self._due_ns = self._clock.boot_ns() + EVERY_NS
        before, now = self._both()
        if before is not None and is_worse(now, before):
            self._versioning.after_alert()

    # How the version before does, and the one in force: both None where there is no version before, or one is on trial.
    def _both(self) -> tuple[Rate | None, Rate | None]:
        pointer = self._versioning.pointer
        if pointer is None or pointer.canary is not None:
            return None, None
        try:
            previous = self._versioning.shelf.files.previous_of(pointer)
        except UsageError:
            return None, None
        rates = self._wrong_limits()
        return rates.get(previous), rates.get(pointer.number)
