"""Programs that are gone at once: who sees them, and how soon."""

from __future__ import annotations

import functools
import json
import time
from typing import TYPE_CHECKING

from benchmarks.contenders import ours
from benchmarks.meanwhile import Meanwhile
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
        seen: set[int] = set()
        poll = functools.partial(_poll, copies, seen)
        with ours.GATED.running(bench) as agent, Meanwhile(_POLL_S, poll):
            bench.storm(_STARTS, _PER_S, program=str(bench.tool("tiny")), copies=copies)
            time.sleep(1)
        reported = _reported(agent.output, copies)
        captured.append(100 * len(reported) / _STARTS)
        polled.append(100 * len(seen) / _STARTS)
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


def _poll(copies: Path, seen: set[int]) -> None:
    import psutil  # noqa: PLC0415 # the rows beside this one need none of it

    seen |= {p.pid for p in psutil.process_iter(["exe"]) if (p.info["exe"] or "").startswith(str(copies))}
