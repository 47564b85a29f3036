"""Program starts at a fixed rate: %CPU of all processes that belong to a contender.

The load and the unit are those of Sysmon for Linux's perftest (perf2.csv: /bin/true, 30 s, % of one CPU as top shows it),
whose figures for auditd, laurel, Sysmon and auditbeat on an Azure B2s are in PUBLISHED; they are of another machine, so
nothing is judged by them: auditd measured here, beside ours, is the bridge.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.contenders import audit, ours
from benchmarks.outcome import Outcome
from benchmarks.rows.side_by_side import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.contenders.contender import Running

ROWS = ("rates",)
PUBLISHED: dict[int, str] = {
    100: "auditd 1.4, enriched 2.3, go-audit 1.4, laurel 3.4, Sysmon 4.4, auditbeat 6.1",
    200: "auditd 2.5, enriched 4.1, go-audit 2.7, laurel 5.9, Sysmon 6.8, auditbeat 12.3",
    400: "auditd 4.1, enriched 6.6, go-audit 4.7, laurel 11.4, Sysmon 10.6, auditbeat 19.1",
    800: "auditd 5.6, enriched 9.5, go-audit 6.6, laurel 17.2, Sysmon 16.7, auditbeat 28.3",
    1600: "auditd 8.5, enriched 14.3, go-audit 8.3, laurel 24.9, Sysmon 24.7, auditbeat 42.1",
}
_KEPT = 0.95  # of the rate: a machine that does not come to it shows the cost of another one
_CONTENDERS = (ours.GATED, ours.ALL_EVENTS, audit.RAW, audit.ENRICHED)


class _Reading(NamedTuple):
    cpu_pct: float
    per_s: float  # as many starts as the load really made


def measure(_wanted: frozenset[str], bench: Bench) -> Iterator[Outcome]:
    """One row per rate."""
    for rate in bench.rates:
        bench.say(f"{rate} starts a second")
        turns: Turns[_Reading] = Turns()
        turns.take(bench, _CONTENDERS, functools.partial(_read, bench, rate))
        others = (turns.series(c.name, lambda r: r.cpu_pct) for c in _CONTENDERS[1:])
        notes = [f"published, on another machine: {PUBLISHED[rate]}"] if rate in PUBLISHED else []
        slowest = min(reading.per_s for readings in turns.readings.values() for reading in readings)
        if slowest < _KEPT * rate:
            notes.append(f"this machine was too busy: only {slowest:.0f} starts/s in one of the runs")
        yield Outcome(
            row=f"rate-{rate}",
            figure=f"%CPU of all processes at {rate} starts/s",
            unit="%",
            ours=turns.ours(ours.GATED.name, lambda r: r.cpu_pct),
            peers=tuple(s for s in others if s is not None),
            skipped=turns.skipped,
            notes=tuple(notes),
        )


def _read(bench: Bench, rate: int, running: Running) -> _Reading:
    began_ns, before_ns = time.monotonic_ns(), running.cpu_ns()
    load = bench.storm(int(rate * bench.seconds), rate)
    used_pct = 100 * (running.cpu_ns() - before_ns) / (time.monotonic_ns() - began_ns)
    return _Reading(used_pct, load.starts / load.wall_ns * 1e9)
