"""Running commands, and waiting for what they bring about."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def output_of(*command: str) -> str:
    """What a command printed. Raises AssertionError with its messages if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def wait_until(look: Callable[[], T | None], what: str, *, within_s: float = 20.0, every_s: float = 0.05) -> T:
    """Look again and again until there is something true, and give it back; AssertionError when the time is over."""
    deadline_s = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s: {what}"
        time.sleep(every_s)
