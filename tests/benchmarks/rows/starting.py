"""How long the agent is blind after it was started."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from benchmarks import processes
from benchmarks.contenders import ours
from benchmarks.contenders.contender import ContenderError, stop
from benchmarks.meanwhile import Meanwhile
from benchmarks.outcome import OURS, Limit, Outcome, Series

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench

_START = "start"
ROWS = (_START,)
_EVERY_S = 0.005
_TIMEOUT_S = 30.0


def measure(_wanted: frozenset[str], bench: Bench) -> Iterator[Outcome]:
    """Start new programs all the time, then the agent, and wait for the first that it reports. The first start warms the disk."""
    seconds, peaks = [], []
    for run in range(bench.runs + 1):
        bench.say(f"start {run} of {bench.runs}")
        took_s, peak_bytes = _first_event(bench)
        seconds.append(took_s)
        peaks.append(peak_bytes)
    yield Outcome(
        row=_START,
        figure="start of the agent to its first event, warm disk",
        unit="s",
        ours=Series(OURS, tuple(seconds[1:])),
        limits=(Limit(0.5),),
        notes=(
            f"peak memory of the daemon by then: {max(peaks[1:]) / 1e6:.1f} MB; {peaks[0] / 1e6:.1f} in the first start, which indexes the packages",
        ),
    )


def _first_event(bench: Bench) -> tuple[float, int]:
    folder = bench.folder("start")
    with (folder / "err").open("wb") as err, _new_programs(bench, folder):
        began = time.monotonic()
        agent = subprocess.Popen(ours.agent_command(bench), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err)
        deadline = threading.Timer(_TIMEOUT_S, agent.kill)
        deadline.start()
        assert agent.stdout is not None  # as PIPE was asked for
        try:
            for line in agent.stdout:
                if str(folder) in json.loads(line).get("exe", ""):
                    return time.monotonic() - began, processes.status_bytes(agent.pid, "VmHWM")
        finally:
            deadline.cancel()
            stop(agent)
            agent.stdout.close()
    msg = f"the agent reported nothing within {_TIMEOUT_S:g} s"
    raise ContenderError(msg)


def _new_programs(bench: Bench, folder: Path) -> Meanwhile:
    image = bench.tool("tiny").read_bytes()
    numbers = itertools.count()

    def make() -> None:
        program = folder / f"new-{next(numbers)}"
        program.write_bytes(image)
        program.chmod(0o755)
        subprocess.run([program], check=True)

    return Meanwhile(_EVERY_S, make)
