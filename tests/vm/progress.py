"""One line per step on stderr: stdout belongs to pytest."""

from __future__ import annotations

import sys
import time

_started_s = time.monotonic()


def say(text: str) -> None:
    """Tell the person who waits what happens now."""
    print(f"test-vm {time.monotonic() - _started_s:6.1f}s  {text}", file=sys.stderr, flush=True)  # noqa: T201
