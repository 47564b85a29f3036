"""The agent, in the ways in which it is measured."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.contenders.contender import Contender

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.bench import Bench


def agent_command(bench: Bench, *options: str) -> list[str]:
    """`brainkernel run --json` with a state of its own for the whole benchmark, so that only the first start is cold."""
    places = ["--state-dir", str(bench.directory / "state"), "--runtime-dir", str(bench.directory / "run")]
    return [sys.executable, "-m", "brainkernel", "run", "--json", *places, *options]


def _agent(*options: str) -> Callable[[Bench], list[str]]:
    return lambda bench: agent_command(bench, *options)


SENSE = Contender("ours", lambda _bench: [sys.executable, "-m", "benchmarks.contenders.sense_alone"])
ALL_EVENTS = Contender("ours all-events", _agent("--all-events"))
GATED = Contender("ours gated", _agent())
