"""10,000 starts of one program, one after the other: what they cost who watches them, and who makes them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import processes
from benchmarks.contenders import ours, peers
from benchmarks.outcome import Limit, Outcome, Series, above
from benchmarks.rows.side_by_side import BARE, Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench, Cost
    from benchmarks.contenders.contender import Contender, Running

_WARM = 200  # starts before the load that is measured
_IDLE_S = 5.0  # as often as an idle agent samples all tasks
_DRAINED_S = 0.6  # more than twice what the slowest of them waits before it reads


class _Reading(NamedTuple):
    cpu_us: float  # of the contender, per start
    idle_us: float  # part of it that it would have used anyway: as much per second as before the load
    idle_ms_per_s: float
    load: Cost
    rss_mb: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class _Row:
    figure: str
    ours: Contender
    peers: tuple[Contender, ...]
    limits: tuple[Limit, ...]


_CONSUMER = {
    "decode": _Row(
        "CPU of the consumer per exec, all events decoded (sense alone)",
        ours.SENSE,
        (peers.EXECSNOOP, peers.BPFTRACE, peers.BCC),
        (Limit(0.5, "execsnoop"), Limit(0.2, "bpftrace")),
    ),
    "pipeline": _Row(
        "CPU of the whole agent per exec, --all-events --json",
        ours.ALL_EVENTS,
        (peers.EXECSNOOP, peers.BPFTRACE, peers.BCC),
        (Limit(2, "execsnoop"), Limit(0.7, "bpftrace")),
    ),
    "gated": _Row(
        "CPU of the whole agent per exec, known programs (the default)",
        ours.GATED,
        (peers.EXECSNOOP, peers.BPFTRACE, peers.BCC),
        (Limit(0.1, "execsnoop"),),
    ),
}
_SLOWDOWN, _MEMORY = "slowdown", "memory"
ROWS = (*_CONSUMER, _SLOWDOWN, _MEMORY)
_CONTENDERS = {
    _SLOWDOWN: (ours.GATED, ours.ALL_EVENTS, peers.EXECSNOOP),
    _MEMORY: (ours.GATED, peers.EXECSNOOP, peers.BPFTRACE, peers.BCC),
} | {name: (row.ours, *row.peers) for name, row in _CONSUMER.items()}


def measure(wanted: frozenset[str], bench: Bench) -> Iterator[Outcome]:
    """Give every contender that a wanted row needs its storms."""
    contenders = {c.name: c for name in ROWS if name in wanted for c in _CONTENDERS[name]}
    turns: Turns[_Reading] = Turns()
    bare = (lambda: _Reading(0, 0, 0, bench.storm(bench.spawns), 0, 0)) if _SLOWDOWN in wanted else None
    turns.take(bench, contenders.values(), lambda running: _read(running, bench), bare)
    for name, row in _CONSUMER.items():
        if name in wanted:
            yield Outcome(
                row=name,
                figure=row.figure,
                unit="us",
                ours=turns.ours(row.ours.name, lambda r: r.cpu_us),
                peers=_peers(turns, row.peers),
                skipped=turns.skipped,
                limits=row.limits,
                notes=(_idle_and_added(turns, row.ours.name),),
            )
    if _SLOWDOWN in wanted:
        yield _slowdown(turns)
    if _MEMORY in wanted:
        yield _memory(turns)


# Whole processes are judged, with what they do when nothing starts, and what else starts on the machine.
def _idle_and_added(turns: Turns[_Reading], name: str) -> str:
    idle, added = turns.median(name, lambda r: r.idle_ms_per_s), turns.median(name, lambda r: r.cpu_us - r.idle_us)
    return f"before the load ours used {idle:.2f} ms a second; an exec adds {added:.2f} us to that"


def _read(running: Running, bench: Bench) -> _Reading:
    bench.storm(_WARM)
    time.sleep(_DRAINED_S)
    began_ns, before = time.monotonic_ns(), running.cpu_ns()
    time.sleep(_IDLE_S)
    load_ns, loaded = time.monotonic_ns(), running.cpu_ns()
    idle_share = (loaded - before) / (load_ns - began_ns)
    load = bench.storm(bench.spawns)
    time.sleep(_DRAINED_S)
    used = running.cpu_ns() - loaded
    idle = idle_share * (time.monotonic_ns() - load_ns)
    rss, peak = (processes.status_bytes(running.pid, field) / 1e6 for field in ("VmRSS", "VmHWM"))
    return _Reading(used / bench.spawns / 1e3, idle / bench.spawns / 1e3, idle_share * 1e3, load, rss, peak)


def _peers(turns: Turns[_Reading], contenders: tuple[Contender, ...]) -> tuple[Series, ...]:
    return tuple(s for c in contenders if (s := turns.series(c.name, lambda r: r.cpu_us)) is not None)


def _slowdown(turns: Turns[_Reading]) -> Outcome:
    bare = turns.ours(BARE, lambda r: r.load.cpu_us_each)

    def added(name: str) -> Series | None:
        series = turns.series(name, lambda r: r.load.cpu_us_each)
        return above(series, bare) if series is not None else None

    others = (added(ours.ALL_EVENTS.name), added(peers.EXECSNOOP.name))
    return Outcome(
        row=_SLOWDOWN,
        figure="CPU time a start takes longer for the program that makes it",
        unit="us",
        ours=above(turns.ours(ours.GATED.name, lambda r: r.load.cpu_us_each), bare),
        peers=tuple(s for s in others if s is not None),
        skipped=turns.skipped,
        limits=(Limit(1, peers.EXECSNOOP.name),),
        notes=(f"a start alone takes {bare.median:.0f} us of CPU (+-{bare.spread:.0f})",),
    )


def _memory(turns: Turns[_Reading]) -> Outcome:
    others = (turns.series(c.name, lambda r: r.rss_mb) for c in (peers.EXECSNOOP, peers.BPFTRACE, peers.BCC))
    return Outcome(
        row=_MEMORY,
        figure="resident memory of the daemon after the storm",
        unit="MB",
        ours=turns.ours(ours.GATED.name, lambda r: r.rss_mb),
        peers=tuple(s for s in others if s is not None),
        skipped=turns.skipped,
        limits=(Limit(45),),
        notes=(f"its peak was {turns.median(ours.GATED.name, lambda r: r.peak_mb):.1f} MB",),
    )
