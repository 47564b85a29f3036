"""Programs that are gone at once: who sees them, and how soon."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Self

from benchmarks.contenders import ours
from benchmarks.outcome import OURS, Limit, Outcome, Series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench

_CAPTURE, _DELIVERY = "capture", "delivery"
ROWS = (_CAPTURE, _DELIVERY)
_STARTS, _PER_S = 400, 50
_POLL_S = 1.0


def measure(wanted: frozenset[str], bench: Bench) -> Iterator[Outcome]:
    """Start new programs at a moderate rate under the whole agent, and beside it poll with psutil each second."""
    captured, polled, p99s = [], [], []
    for run in range(bench.runs):
        bench.say(f"short-lived programs, run {run + 1} of {bench.runs}")
        copies = bench.folder("short-lived")
        with ours.GATED.running(bench) as agent, _Poller(copies) as poller:
            bench.storm(_STARTS, _PER_S, program=str(bench.tool("tiny")), copies=copies)
            time.sleep(1)
        reported = _reported(agent.output, copies)
        captured.append(100 * len(reported) / _STARTS)
        polled.append(100 * len(poller.seen) / _STARTS)
        p99s.append(sorted(reported.values())[int(0.99 * len(reported))])
    if _CAPTURE in wanted:
        yield Outcome(
            row=_CAPTURE,
            figure=f"short-lived programs reported, of {_STARTS} new ones",
            unit="%",
            ours=Series(OURS, tuple(captured)),
            peers=(Series("psutil each second", tuple(polled)),),
            limits=(Limit(100, at_least=True),),
        )
    if _DELIVERY in wanted:
        yield Outcome(
            row=_DELIVERY,
            figure="kernel timestamp to Python, new programs, p99, whole agent",
            unit="ms",
            ours=Series(OURS, tuple(p99s)),
            limits=(Limit(5),),
        )


# Of each program in this folder: how long its event took, in ms.
def _reported(output: Path, copies: Path) -> dict[str, float]:
    found = {}
    with output.open() as lines:
        for line in lines:
            said = json.loads(line)
            if said["type"] == "decision" and said["exe"].startswith(f"{copies}/"):
                found[said["exe"]] = said["stages"]["event_delivery"]
    return found


class _Poller:
    def __init__(self, copies: Path) -> None:
        self.seen: set[int] = set()
        self._copies = str(copies)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _poll(self) -> None:
        import psutil  # noqa: PLC0415 # the rows beside this one need none of it

        while not self._ended.wait(_POLL_S):
            self.seen |= {p.pid for p in psutil.process_iter(["exe"]) if (p.info["exe"] or "").startswith(self._copies)}
