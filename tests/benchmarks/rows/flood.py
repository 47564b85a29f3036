"""Somebody makes thousands of programs and runs each once: the agent must neither grow, nor stall, nor lose count."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.cli.control_client import ask
from brainkernel.link.control import STATUS, Status

from benchmarks import processes
from benchmarks.contenders import ours
from benchmarks.meanwhile import Meanwhile
from benchmarks.outcome import OURS, Limit, Outcome, Series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.contenders.contender import Running

_MEMORY, _STALL, _COUNT = "flood-memory", "flood-stall", "flood-count"
ROWS = (_MEMORY, _STALL, _COUNT)
_PROGRAMS = 20_000
_MEMORY_MAX_MB = 80  # 45 before it, and what was met last in each of the bounded memories: gate, lineage, evidence, store
_ASK_EVERY_S = 0.02
_SETTLED_S = 3.0
_RESET_PEAK = "5"  # proc(5), clear_refs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flood:
    # What one flood did to the agent.
    settled_mb: float
    peak_mb: float
    longest_s: float
    asked: int
    reported: int
    suppressed: int
    lost: int
    others: int  # processes and threads that others made meanwhile

    @property
    def unaccounted(self) -> int:
        return max(0, _PROGRAMS - self.reported - self.suppressed)


def measure(wanted: frozenset[str], bench: Bench) -> Iterator[Outcome]:
    """Flood it once: what is asked for is a bound, not an average."""
    bench.say(f"flood of {_PROGRAMS:,} distinct programs")
    flood = _flood(bench)
    beyond = flood.reported + flood.suppressed - _PROGRAMS
    rows = (
        (
            _MEMORY,
            "peak memory of the daemon in a flood of 20,000 distinct programs",
            "MB",
            flood.peak_mb,
            _MEMORY_MAX_MB,
            f"{flood.settled_mb:.1f} MB before it",
        ),
        (_STALL, "longest time in which the agent did not answer, in that flood", "s", flood.longest_s, 1, f"asked {flood.asked} times"),
        (
            _COUNT,
            "programs of that flood neither reported nor counted as suppressed",
            "",
            flood.unaccounted,
            0,
            f"{flood.reported:,} reported, {flood.suppressed:,} suppressed, {flood.lost} lost; {beyond} beyond the {_PROGRAMS:,}, of {flood.others} starts by others",
        ),
    )
    for row, figure, unit, value, bound, note in rows:
        if row in wanted:
            yield Outcome(row=row, figure=figure, unit=unit, ours=Series(OURS, (value,)), limits=(Limit(bound),), notes=(note,))


def _flood(bench: Bench) -> _Flood:
    copies = bench.folder("flood")
    with ours.GATED.running(bench) as agent:
        settled_mb = processes.status_bytes(agent.pid, "VmRSS") / 1e6
        (processes.PROC / str(agent.pid) / "clear_refs").write_text(_RESET_PEAK)
        before, forks = _status(bench), processes.forks()
        asker = _Asker(bench)
        with Meanwhile(_ASK_EVERY_S, asker.ask):
            bench.storm(_PROGRAMS, program=str(bench.tool("tiny")), copies=copies)
            forks = processes.forks() - forks - _PROGRAMS
            time.sleep(_SETTLED_S)
        after = _status(bench)
        peak_mb = processes.status_bytes(agent.pid, "VmHWM") / 1e6
    return _Flood(
        settled_mb=settled_mb,
        peak_mb=peak_mb,
        longest_s=asker.longest_s,
        asked=asker.asked,
        reported=_reported(agent, copies),
        suppressed=after.counts.suppressed - before.counts.suppressed,
        lost=after.counts.events_lost,
        others=forks,
    )


def _status(bench: Bench) -> Status:
    return ask(bench.directory / "run", STATUS, Status)


def _reported(agent: Running, copies: Path) -> int:
    with agent.output.open() as lines:
        said = (json.loads(line) for line in lines)
        return len({s["exe"] for s in said if s["type"] == "decision" and s["exe"].startswith(f"{copies}/")})


class _Asker:
    # Its loop answers the control socket, so what a person would wait there is how long it stalled.
    def __init__(self, bench: Bench) -> None:
        self.longest_s = 0.0
        self.asked = 0
        self._bench = bench

    def ask(self) -> None:
        began = time.monotonic()
        _status(self._bench)
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        self.asked += 1
