"""The run queue: what watching it adds to each context switch."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import processes
from benchmarks.contenders import ours, peers
from benchmarks.outcome import Limit, Outcome, Series, above
from benchmarks.rows.side_by_side import BARE, Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.contenders.contender import Running

_PROGRAM, _SWITCH = "program", "switch"
ROWS = (_PROGRAM, _SWITCH)
_STATS = Path("/proc/sys/kernel/bpf_stats_enabled")
_ROUNDS = 50_000
_TRIES = 8  # per run: the lowest is the one that was disturbed least
_CPU = 0
_RIVALS = (peers.RUNQLAT, peers.BPFTRACE_QUEUE)


class _Reading(NamedTuple):
    program_ns: float  # per switch, all BPF programs of the contender
    cpu_ns: float  # per switch, the load itself


def measure(wanted: frozenset[str], bench: Bench) -> Iterator[Outcome]:
    """Measure both by the same runs, except that counting the programs' time would itself cost time per switch."""
    if _PROGRAM in wanted:
        with _stats():
            turns: Turns[_Reading] = Turns()
            turns.take(bench, (ours.SENSE, *_RIVALS), lambda running: _read(running, bench))
        yield _outcome(turns, _PROGRAM)
    if _SWITCH in wanted:
        turns = Turns()
        turns.take(bench, (ours.SENSE, *_RIVALS), lambda _running: _Reading(0, _pingpong(bench)), lambda: _Reading(0, _pingpong(bench)))
        yield _added(turns)


@contextlib.contextmanager
def _stats() -> Iterator[None]:
    before = _STATS.read_text()
    _STATS.write_text("1")
    try:
        yield
    finally:
        _STATS.write_text(before)


def _pingpong(bench: Bench) -> float:
    tries = [bench.pingpong(_ROUNDS, _CPU) for _ in range(_TRIES)]
    return min(t.cpu_ns / t.starts for t in tries)


def _read(running: Running, bench: Bench) -> _Reading:
    programs, switches = processes.program_ns(running.pid), processes.switches()
    cpu_ns = _pingpong(bench)
    return _Reading((processes.program_ns(running.pid) - programs) / (processes.switches() - switches), cpu_ns)


def _outcome(turns: Turns[_Reading], row: str) -> Outcome:
    return Outcome(
        row=row,
        figure="time in BPF programs per context switch (all programs of each)",
        unit="ns",
        ours=turns.ours(ours.SENSE.name, lambda r: r.program_ns),
        peers=tuple(s for c in _RIVALS if (s := turns.series(c.name, lambda r: r.program_ns)) is not None),
        skipped=turns.skipped,
        limits=(Limit(0.25, peers.RUNQLAT.name),),
    )


def _added(turns: Turns[_Reading]) -> Outcome:
    def figure(reading: _Reading) -> float:
        return reading.cpu_ns

    bare = turns.ours(BARE, figure)
    others: tuple[Series, ...] = tuple(above(s, bare) for c in _RIVALS if (s := turns.series(c.name, figure)) is not None)
    return Outcome(
        row=_SWITCH,
        figure="CPU time a context switch takes longer, pipe ping-pong on one CPU",
        unit="ns",
        ours=above(turns.ours(ours.SENSE.name, figure), bare),
        peers=others,
        skipped=turns.skipped,
        limits=(Limit(0.2, peers.RUNQLAT.name),),
        notes=(f"a switch alone takes {bare.median:.0f} ns (+-{bare.spread:.0f})",),
    )
