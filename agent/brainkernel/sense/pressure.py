"""Pressure stall information: how long tasks waited for a resource, told by the kernel without sampling."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.clock import Clock

_SOME_TOTAL = re.compile(r"^some .*\btotal=(\d+)", re.MULTILINE)

# The kernel looks at a trigger's window at most every 1/10 of it and refuses windows outside 500 ms to 10 s
# (kernel/sched/psi.c). A process without CAP_SYS_RESOURCE must use a multiple of 2 s.
WINDOW_US = 1_000_000
UNPRIVILEGED_WINDOW_US = 2_000_000
PRESSED_NS = 10_000_000_000  # a stall is news for so long


def some_total_us_of(text: str) -> int | None:
    """The `some` total of a PSI file in microseconds; None if there is no such line."""
    match = _SOME_TOTAL.search(text)
    return int(match[1]) if match else None


def read_cpu_some_us(proc: Path) -> int | None:
    """For how long, since boot, some task of the host waited for a CPU; None without PSI (CONFIG_PSI, psi=1)."""
    try:
        return some_total_us_of((proc / "pressure/cpu").read_text(encoding="ascii"))
    except OSError:
        return None


class PressureTrigger:
    """A descriptor that becomes ready (POLLPRI; EPOLLPRI for a selector of epoll) when a stall exceeds its threshold.

    At most once per window. It is level-less: after a report there is nothing to read.
    """

    def __init__(self, fd: int, window_us: int) -> None:
        self._fd = fd
        self.window_us = window_us

    @classmethod
    def open(cls, file: Path, stall_us: int = 150_000) -> PressureTrigger | None:
        """Ask for a report when some task stalled `stall_us` in a second.

        None where the kernel does not let us: no PSI, no triggers (kernels before 5.2), or not permitted.
        """
        for window_us, factor in ((WINDOW_US, 1), (UNPRIVILEGED_WINDOW_US, 2)):
            fd = -1
            with contextlib.suppress(OSError):
                fd = os.open(file, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                os.write(fd, f"some {stall_us * factor} {window_us}\0".encode())
                return cls(fd, window_us)
            if fd >= 0:
                os.close(fd)
        return None

    def fileno(self) -> int:
        """For a selector."""
        return self._fd

    def close(self) -> None:
        """Withdraw it. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Pressure:
    """Whether somebody waited for a CPU lately, as the kernel's trigger says; always, where there is no trigger."""

    def __init__(self, trigger: PressureTrigger | None, clock: Clock) -> None:
        self.trigger = trigger
        self._clock = clock
        self._until_ns = 0

    def pressed(self) -> bool:
        """Whether it is worth looking who suffers."""
        return self.trigger is None or self._clock.boot_ns() < self._until_ns

    def fired(self) -> bool:
        """Take note that the trigger fired; True if that begins a time of pressure."""
        begins = not self.pressed()
        self._until_ns = self._clock.boot_ns() + PRESSED_NS
        return begins
