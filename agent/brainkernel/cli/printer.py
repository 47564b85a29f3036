"""Lines to a reader who may be slow or gone: the agent's loop never waits for a terminal or a pipe."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_LINES_MAX = 10_000  # some 5 MB of JSON; a stopped terminal (Ctrl-S) then loses lines, counted, instead of stopping us
_GATHER_S = 0.01
_PATIENCE_S = 2.0  # for the reader, at the end
_IDLE_S = 5.0


def _stop_ourselves() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def no_lines() -> list[str]:
    """Nothing becomes due by time."""
    return []


class LinePrinter:
    """Prints in a thread of its own. When the reader is gone (`| head`), `on_gone` is called once: it ends the agent in good order.

    `due` is asked, in that thread, for lines that time alone makes due: when nothing was printed for some seconds.
    """

    def __init__(self, stream: TextIO, on_gone: Callable[[], None] = _stop_ourselves, due: Callable[[], list[str]] = no_lines) -> None:
        self._stream = stream
        self._on_gone = on_gone
        self._due = due
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._dropped = 0
        self._ended = False
        self._thread = threading.Thread(target=self._print_all, name="printer", daemon=True)
        self._thread.start()

    def print(self, line: str) -> None:
        """Take one line. Never waits: what does not fit is dropped and counted."""
        if self._lines.qsize() < _LINES_MAX:
            self._lines.put(line)
        else:
            self._dropped += 1

    def close(self) -> int:
        """Wait a little for the reader; returns how many lines it missed."""
        self._lines.put(None)
        self._thread.join(_PATIENCE_S)
        return self._dropped + max(0, self._lines.qsize() - 1)

    def _print_all(self) -> None:
        while not self._ended:
            lines = self._next()
            try:
                self._stream.writelines(f"{line}\n" for line in lines)
                self._stream.flush()
            except (OSError, ValueError):
                self._give_up()
                return

    # Woken once for all lines of a moment: a wakeup costs both threads more than a line does.
    def _next(self) -> list[str]:
        try:
            lines = [self._lines.get(timeout=_IDLE_S)]
        except queue.Empty:
            return self._due()
        if lines[0] is not None:
            time.sleep(_GATHER_S)
        while not self._lines.empty():
            lines.append(self._lines.get())
        self._ended = lines[-1] is None
        return [line for line in lines if line is not None]

    # What is still buffered must not fail again when the interpreter flushes at exit.
    def _give_up(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        self._on_gone()
