"""The records of several rings in the order of their time. Pure."""

from __future__ import annotations

from collections import deque

_TIME_BYTES = 8  # the first field of a record's header, little endian


class TimeOrder:
    """Puts in order what was read from rings that each are in order.

    They are read one after the other, so that of two records that come meanwhile the later one may be found first:
    what is not settled, newer than the beginning of a look, waits for the next one.
    """

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, data: bytes) -> None:
        """Take a record as it was found."""
        self._waiting.append(data)

    def take(self, settled_ns: int, limit: int) -> list[bytes]:
        """The oldest ones, at most `limit`, up to that time."""
        self._waiting = deque(sorted(self._waiting, key=_time_of))
        taken: list[bytes] = []
        while self._waiting and len(taken) < limit and _time_of(self._waiting[0]) <= settled_ns:
            taken.append(self._waiting.popleft())
        return taken


def _time_of(data: bytes) -> int:
    return int.from_bytes(data[:_TIME_BYTES], "little")
