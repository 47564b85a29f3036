"""Quiet hours: when only critical alerts are sent, and the rest waits for the morning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one time of day to another, in seconds since midnight of the host's own time zone; equal: never."""

    begin_s: int = 0
    end_s: int = 0
    zone: tzinfo | None = None  # the host's, if None

    @classmethod
    def of(cls, text: str, zone: tzinfo | None = None) -> QuietHours:
        """Read "22:00-07:00", as config.py allows it; "" is never."""
        if not text:
            return cls()
        begin, end = (hours * 3600 + minutes * 60 for hours, minutes in (map(int, t.split(":")) for t in text.split("-")))
        return cls(begin, end, zone)

    def left_s(self, wall_ns: int) -> float:
        """How long they still last; 0 outside of them. A change of the clocks may make it an hour more or less: it is asked again."""
        time = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=wall_ns // 1000)).astimezone(self.zone)
        now_s = time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6
        since_begin_s, length_s = (now_s - self.begin_s) % DAY_S, (self.end_s - self.begin_s) % DAY_S
        return max(0.0, length_s - since_begin_s)
