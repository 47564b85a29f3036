"""A flood of lines of one kind: the first ones are told, and then how many there were."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.clock import Clock

NS_PER_S = 1_000_000_000
BURST = 100  # lines of one kind and window: more than a person reads, and far below journald's own limit (journald.conf(5))
WINDOW_S = 30
KINDS_MAX = 1_000  # in one window; those beyond share one measure
OTHERS = "others"


class Flood:
    """Counts lines by kind in windows of `WINDOW_S`. Safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began_ns = clock.boot_ns()
        self._lines: Counter[str] = Counter()

    def admits(self, kind: str) -> bool:
        """Whether this line is told; one that is not is counted."""
        with self._lock:
            if kind not in self._lines and len(self._lines) >= KINDS_MAX:
                kind = OTHERS
            self._lines[kind] += 1
            return self._lines[kind] <= BURST

    def take_left_out(self, *, at_the_end: bool = False) -> list[tuple[str, int]]:
        """Once a window is over, or `at_the_end`: each kind of which lines were left out in it, and how many."""
        with self._lock:
            now_ns = self._clock.boot_ns()
            if not at_the_end and now_ns - self._began_ns < WINDOW_S * NS_PER_S:
                return []
            self._began_ns, lines = now_ns, self._lines
            self._lines = Counter()
        return [(kind, count - BURST) for kind, count in lines.items() if count > BURST]


class FloodFilter(logging.Filter):
    """The same for our own log records; a kind is a logger with the record's text before its values are filled in."""

    def __init__(self, flood: Flood) -> None:
        super().__init__()
        self._flood = flood

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is told."""
        return self._flood.admits(f"log {record.name}: {record.msg}")
