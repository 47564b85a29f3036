"""The command line of `./scripts/bench --feedback`."""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.feedback import checks
from benchmarks.feedback.agent import Run
from benchmarks.feedback.week import DAY_S, DAYS, Week
from benchmarks.feedback.words import flood

if TYPE_CHECKING:
    from benchmarks.feedback.checks import Check, Truth

_DESCRIPTION = """\
Run a week of program starts and incidents (tests/benchmarks/feedback/week.py says how it is made) through the whole agent on a simulated
clock, with a language model of known error rates and people who say what is true; twice, with learning and without. Some minutes."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What one week showed."""

    learning: bool
    happenings: int
    ticks: int
    asked: int
    days: tuple[Truth, ...]
    learned_in: Truth
    checks: tuple[Check, ...]


def main() -> int:
    """Run both weeks; 0 if all that must hold did."""
    parser = argparse.ArgumentParser(prog="./scripts/bench --feedback", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--feedback", action="store_true", help="this benchmark")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all that is drawn (default: 1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write every figure there")
    parser.add_argument(
        "--words", type=int, metavar="N", help="instead of the week: a flood of N words of feedback about one morning of it"
    )
    arguments = parser.parse_args()
    if arguments.words:
        return flooded(arguments.words)
    began = time.monotonic()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        ours, theirs = pool.map(live, (arguments.seed, arguments.seed), (True, False))
    found = [*ours.checks, theirs.checks[-1], *checks.learning(ours.days[0], ours.learned_in, theirs.learned_in)]
    show(found)
    print(
        f"{DAYS} days, {ours.happenings} happenings, {ours.ticks} ticks, {ours.asked} programs asked about in {time.monotonic() - began:.0f} s"
    )
    if arguments.json:
        document = {"seed": arguments.seed, "checks": [asdict(check) for check in found], "weeks": [asdict(ours), asdict(theirs)]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(not all(check.met for check in found))


def flooded(count: int) -> int:
    """Put so many words of feedback to the agent; 0 if its bounds held."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="brainkernel-words-") as directory:
        found = list(flood(Path(directory), count))
    show(found)
    return int(not all(check.met for check in found))


def show(found: list[Check]) -> None:
    """A line for each."""
    for check in found:
        print(f"{'ok' if check.met else 'FAILED':<8}{check.name}: {check.text}")


def live(seed: int, learning: bool) -> Lived:
    """Live through one week in a process of its own."""
    logging.disable(logging.WARNING)
    week = Week(seed)
    left = happenings = week.happenings()
    with tempfile.TemporaryDirectory(prefix="brainkernel-week-") as directory:
        run = Run(week, Path(directory), seed, learning)
        try:
            before = checks.figures_of(run)
            for day in range(DAYS):
                left = run.until((day + 1) * DAY_S, left)
                _say(f"day {day + 1} of the week {'with' if learning else 'without'} learning")
            shown = [*checks.convergence(run, DAYS * DAY_S), checks.strategies(run)]
            shown += checks.rollback(run, before) if learning else ()
            shown += [] if learning else [checks.monitoring(run, Path(directory) / "monitoring")]
            days = tuple(checks.truth_of(run, day * DAY_S, (day + 1) * DAY_S) for day in range(DAYS))
            return Lived(learning, len(happenings), run.ticks, run.gateway.asked, days, checks.learned_in(run), tuple(shown))
        finally:
            run.close()


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
