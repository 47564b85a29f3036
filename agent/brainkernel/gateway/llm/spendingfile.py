"""What was spent in the last day, on disk, so that a restart does not give the budget back."""

from __future__ import annotations

import os
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from brainkernel.clock import Clock

FILE_NAME = "llm-spending.bin"
MINUTES = 24 * 60
_MINUTE_NS = 60_000_000_000
_SLOT = struct.Struct("<QQ")  # minute since 1970, tokens
_TOKENS_MAX = 1 << 62  # of a damaged file


class SpendingFile:
    """A ring of one slot per minute of a day. Safe to use from several threads.

    A slot is 16 bytes, written in place by one system call: a process that is killed leaves the old or the new
    one. The file is opened once, since the gateway may not enter its directory when it has become nobody.
    """

    def __init__(self, directory: Path | None, clock: Clock, say: Callable[[str], None]) -> None:
        """Without a directory, or where it cannot be used (which is said), what was spent is forgotten at the end."""
        self._clock = clock
        self._say = say
        self._fails = False  # as long as it does, it is said once
        self._lock = threading.Lock()
        self._fd = _opened(directory, say)
        self._tokens = dict(_slots_of(os.pread(self._fd, MINUTES * _SLOT.size, 0))) if self._fd is not None else {}
        self._take_back_from_the_future()

    # A clock that was wrong and set back leaves minutes that would count as now at each start until they come, in years perhaps.
    # Nobody knows when they were: they count from now on, once.
    def _take_back_from_the_future(self) -> None:
        now = self._clock.wall_ns() // _MINUTE_NS
        ahead = [m for m in self._tokens if m > now]
        if not ahead:
            return
        self.add(sum(self._tokens.pop(m) for m in ahead), now)  # written before the others go: a crash between counts them twice
        for minute in ahead:
            if self._fd is not None and minute % MINUTES != now % MINUTES:
                self._write(self._fd, minute, 0)

    def spent(self) -> list[tuple[int, int]]:
        """Age in nanoseconds, and tokens, of each minute of the last day. Minutes of the future, by a clock set back, count as now."""
        now_ns = self._clock.wall_ns()
        with self._lock:
            ages = [(max(0, now_ns - minute * _MINUTE_NS), tokens) for minute, tokens in self._tokens.items()]
        return [(age_ns, tokens) for age_ns, tokens in ages if age_ns < MINUTES * _MINUTE_NS and tokens]

    def add(self, tokens: int, minute: int | None = None) -> int:
        """Count tokens (or take some back, if below 0) in the minute they were spent in, now by default; return that minute."""
        minute = self._clock.wall_ns() // _MINUTE_NS if minute is None else minute
        with self._lock:
            total = max(0, self._tokens.get(minute, 0) + tokens)
            self._tokens[minute] = total
            for old in [m for m in self._tokens if m <= minute - MINUTES]:
                del self._tokens[old]
            if self._fd is not None:
                self._write(self._fd, minute, total)
        return minute

    # A disk that is full is no reason to ask no model: the rest of this process still knows what it spent.
    def _write(self, fd: int, minute: int, tokens: int) -> None:
        try:
            os.pwrite(fd, _SLOT.pack(minute, min(tokens, _TOKENS_MAX)), minute % MINUTES * _SLOT.size)
        except OSError as error:
            if not self._fails:
                self._say(_lost(FILE_NAME, error))
            self._fails = True
        else:
            self._fails = False


def _opened(directory: Path | None, say: Callable[[str], None]) -> int | None:
    if directory is None:
        return None
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(directory / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        say(_lost(directory / FILE_NAME, error))
        return None


def _lost(file: Path | str, error: OSError) -> str:
    return f"{file}: {error.strerror}; the token budget begins anew when the gateway is restarted"


def _slots_of(data: bytes) -> Iterator[tuple[int, int]]:
    for minute, tokens in _SLOT.iter_unpack(data[: len(data) // _SLOT.size * _SLOT.size]):
        if minute:
            yield minute, tokens
