"""A flood of lines of one kind: the first ones are told, and then how many there were."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.clock import Clock

NS_PER_S = 1_000_000_000
BURST = 100  # lines of one kind and window: more than a person reads, and far below journald's own limit (journald.conf(5))
WINDOW_S = 30
KINDS_MAX = 1_000  # windows open at once; a kind beyond them is told


class Flood:
    """Counts lines by kind in windows of `WINDOW_S`. Safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, int]] = {}  # kind: when it began, lines since

    def admits(self, kind: str) -> bool:
        """Whether this line is told; one that is not is counted."""
        now_ns = self._clock.boot_ns()
        with self._lock:
            began_ns, lines = self._windows.get(kind, (now_ns, 0))
            if lines == 0 and len(self._windows) >= KINDS_MAX:
                return True
            self._windows[kind] = (began_ns, lines + 1)
        return lines < BURST

    def take_left_out(self, *, all_windows: bool = False) -> list[tuple[str, int]]:
        """Close the windows that are over; returns each kind of which lines were left out, and how many."""
        now_ns = self._clock.boot_ns()
        with self._lock:
            over = {k: n for k, (began_ns, n) in self._windows.items() if all_windows or now_ns - began_ns >= WINDOW_S * NS_PER_S}
            for kind in over:
                del self._windows[kind]
        return [(kind, lines - BURST) for kind, lines in over.items() if lines > BURST]


class FloodFilter(logging.Filter):
    """The same for our own log records; a kind is a logger with the record's text before its values are filled in."""

    def __init__(self, flood: Flood) -> None:
        super().__init__()
        self._flood = flood

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is told."""
        return self._flood.admits(f"log {record.name}: {record.msg}")
