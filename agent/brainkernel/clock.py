"""The two clocks, as a parameter, so that tests and replay own time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Where time comes from. Intervals are measured on boot time, which a suspend advances and nobody can set."""

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME in nanoseconds: the clock of every kernel event."""
        ...

    def wall_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds: only for people and for age across reboots."""
        ...


class SystemClock:
    """The host's clocks."""

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME in nanoseconds."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        """CLOCK_REALTIME in nanoseconds."""
        return time.time_ns()


@dataclass(slots=True)
class SimulatedClock:
    """A clock that stands still until it is told otherwise; replay sets it from the events."""

    now_boot_ns: int = 0
    offset_to_wall_ns: int = 0

    def boot_ns(self) -> int:
        """The simulated boot time."""
        return self.now_boot_ns

    def wall_ns(self) -> int:
        """The simulated wall time: boot time plus a fixed offset."""
        return self.now_boot_ns + self.offset_to_wall_ns

    def advance_to(self, boot_ns: int) -> None:
        """Move on to `boot_ns`; going back is ignored, as no clock of boot time does."""
        self.now_boot_ns = max(self.now_boot_ns, boot_ns)
