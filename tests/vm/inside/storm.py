"""Many short-lived hogs, one after the other: run as a program in a login session.

One process starts and ends them all, so that a hog costs one exec: with a shell and timeout(1) for each, an emulated
machine does not get through in ten minutes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque

HOG = "/opt/batch/indexer"
HOGS = 500
LIFE_S = 3.0  # long enough for the window in which they are seen to hurt


def blow(seconds: float) -> float:
    """Start them in even steps over this time, each for its life; returns how long it took in the end."""
    started_s = time.monotonic()
    alive: deque[tuple[float, subprocess.Popen[bytes]]] = deque()
    for number in range(HOGS):
        time.sleep(max(0.0, started_s + number * seconds / HOGS - time.monotonic()))
        _end(alive, time.monotonic())
        hog = subprocess.Popen([HOG], stdout=subprocess.DEVNULL)
        alive.append((time.monotonic() + LIFE_S, hog))
    _end(alive, float("inf"))
    return time.monotonic() - started_s


def _end(alive: deque[tuple[float, subprocess.Popen[bytes]]], now_s: float) -> None:
    while alive and alive[0][0] <= now_s:
        _, hog = alive.popleft()
        hog.kill()
        hog.wait()


if __name__ == "__main__":
    sys.stdout.write(f"{blow(float(sys.argv[1]))}\n")
