"""What it costs to watch the agent: `brainkernel top` on a host with many processes, on a terminal of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.contenders import ours
from benchmarks.contenders.contender import Contender, ContenderError
from benchmarks.outcome import OURS, Limit, Outcome, Series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.contenders.contender import Running

_TOP = "top"
ROWS = (_TOP,)
_PROCESSES = 500
_SEEN_S = 8.0  # on a quiet host the agent takes a sample each five seconds
_WATCHED_S = 10.0


def _command(bench: Bench, *options: str) -> list[str]:
    return [sys.executable, "-m", "brainkernel", "top", "--runtime-dir", str(bench.directory / "run"), *options]


# script(1) gives it a terminal and reads what it draws.
def _on_a_terminal(bench: Bench) -> list[str]:
    return ["script", "--quiet", "--command", f"stty rows 40 cols 120; exec {shlex.join(_command(bench))}", "/dev/null"]


_CONTENDER = Contender("top", _on_a_terminal)


def measure(_wanted: frozenset[str], bench: Bench) -> Iterator[Outcome]:
    """Start it again and again beside one agent, and see what it uses while nobody presses a key."""
    shares, added = [], []
    with bench.sleepers(_PROCESSES), ours.GATED.running(bench) as agent:
        time.sleep(_SEEN_S)
        shown = _shown(bench)
        for run in range(bench.runs):
            bench.say(f"top {run + 1} of {bench.runs}")
            alone, _ = _shares(agent, agent)
            with _CONTENDER.running(bench) as top:
                share, watched = _shares(top, agent)
            shares.append(share)
            added.append(watched - alone)
    yield Outcome(
        row=_TOP,
        figure=f"CPU of `brainkernel top` with {shown} processes, a look each second",
        unit="%",
        ours=Series(OURS, tuple(shares)),
        limits=(Limit(5),),
        notes=(f"both processes of the agent use {sorted(added)[len(added) // 2]:.2f} % more meanwhile",),
    )


def _shares(first: Running, second: Running) -> tuple[float, float]:
    began_ns, before = time.monotonic_ns(), (first.cpu_ns(), second.cpu_ns())
    time.sleep(_WATCHED_S)
    now, elapsed_ns = (first.cpu_ns(), second.cpu_ns()), time.monotonic_ns() - began_ns
    return 100 * (now[0] - before[0]) / elapsed_ns, 100 * (now[1] - before[1]) / elapsed_ns


def _shown(bench: Bench) -> int:
    told = subprocess.run(_command(bench, "--json"), check=True, capture_output=True, text=True).stdout
    shown = len(json.loads(told)["rows"])
    if shown < _PROCESSES:
        msg = f"top shows {shown} processes, {_PROCESSES} run: its figure would be that of another host"
        raise ContenderError(msg)
    return shown
