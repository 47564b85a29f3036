"""A service that answers a request every 20 ms and measures its own latency: run as a program, read by the tests."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

PERIOD_S = 0.02
WORK_S = 0.008  # of CPU time for each request
MEASURED_MIN = 100  # requests of which one in a hundred is one
RESET_BEHIND_S = 1.0  # what nobody would wait for any more


def serve(log: Path) -> None:
    """Answer for ever; one line per request: when it was answered, and how many seconds after it came."""
    with log.open("w", buffering=1) as file:
        due_s = time.monotonic()
        while True:
            due_s += PERIOD_S
            now_s = time.monotonic()
            if now_s - due_s > RESET_BEHIND_S:
                due_s = now_s
            time.sleep(max(0.0, due_s - now_s))
            done_s = time.thread_time() + WORK_S
            while time.thread_time() < done_s:
                pass
            answered_s = time.monotonic()
            file.write(f"{answered_s:.4f} {answered_s - due_s:.4f}\n")


def p99_s(log: Path, since_s: float, until_s: float) -> float:
    """The latency that one request in a hundred exceeded in this time (CLOCK_MONOTONIC); infinite if not even a hundred were answered."""
    lines = [tuple(map(float, line.split())) for line in log.read_text().splitlines() if line.count(" ") == 1]
    latencies = sorted(latency for at, latency in lines if since_s <= at < until_s)
    return latencies[int(len(latencies) * 0.99)] if len(latencies) >= MEASURED_MIN else math.inf


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
