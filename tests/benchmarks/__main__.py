"""The command line of `./scripts/bench`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks import machine, table
from benchmarks.bench import Bench
from benchmarks.contenders.contender import ContenderError
from benchmarks.feedback.__main__ import main as feedback
from benchmarks.rows import flood, rates, short_lived, snapshot, starting, storm, switches, watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.outcome import Outcome


class Group(Protocol):
    """A module of `rows`."""

    @property
    def ROWS(self) -> tuple[str, ...]:  # noqa: N802 # a constant of the module
        """The names of its rows."""
        ...

    @property
    def measure(self) -> Callable[[frozenset[str], Bench], Iterator[Outcome]]:
        """Measure the wanted ones of ROWS."""
        ...


# In the order of the table. What is in EXTRA runs only when its own option asks for it.
GROUPS: tuple[Group, ...] = (storm, switches, starting, snapshot, short_lived, watching, flood)
EXTRA: tuple[Group, ...] = (rates,)
_DESCRIPTION = """\
Measure what the agent costs and how fast it is, beside its peers and in the same run. Needs root and a kernel with BTF.
What is measured runs in turns, and the medians are compared. Peers that are not installed are skipped, with the reason:
execsnoop and runqlat of libbpf-tools, bpftrace, execsnoop of bpfcc-tools, psutil, auditd."""
_EXAMPLES = """\
examples:
  ./scripts/bench
      the whole table, some 20 minutes
  ./scripts/bench --only decode --only gated --runs 3
      two rows, a first impression
  ./scripts/bench --json /tmp/bench.json
      also every single figure, with kernel and machine
  ./scripts/bench --feedback --seed 1
      instead of the table: a week of recorded starts and injected mistakes through the feedback loop, see --feedback --help
  ./scripts/bench --rates 100,400,1600
      fixed rates: %CPU of all processes of the agent, and of auditd"""


def main() -> int:
    """Run what was asked for; 0 if every target that could be judged was met."""
    if "--feedback" in sys.argv[1:]:
        return feedback()
    arguments = _parser().parse_args()
    if os.geteuid() != 0:
        print("bench: loading BPF programs takes root", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory(prefix="brainkernel-bench-") as directory:
        Path(directory).chmod(0o755)  # the gateway, which is nobody, has its socket there
        return _measure(arguments, Path(directory))


def _measure(arguments: argparse.Namespace, directory: Path) -> int:
    wanted = _wanted(arguments)
    bench = Bench(
        directory=directory, runs=arguments.runs, spawns=arguments.spawns, rates=arguments.rates, seconds=arguments.seconds, say=_say
    )
    before = machine.read()
    print(f"{before.text()}, {arguments.runs} runs", flush=True)
    outcomes: list[Outcome] = []
    failed = []
    for group in (*GROUPS, *EXTRA):
        if chosen := wanted & set(group.ROWS):
            try:
                outcomes.extend(group.measure(chosen, bench))
            except ContenderError as error:  # the other groups' minutes were not in vain
                failed.append(f"{', '.join(sorted(chosen))}: {error}")
    _say("")
    print("\n".join(table.markdown_of(outcomes) if arguments.markdown else table.lines_of(outcomes)))
    if arguments.json:
        document = {"machine": before.as_json(), "runs": bench.runs, "rows": [o.as_json() for o in outcomes]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    for text in failed:
        print(f"bench: not measured: {text}", file=sys.stderr)
    return int(bool(failed) or any(o.met is False for o in outcomes))


def _wanted(arguments: argparse.Namespace) -> frozenset[str]:
    if arguments.rates:
        return frozenset(rates.ROWS)
    return frozenset(arguments.only or (name for group in GROUPS for name in group.ROWS))


def _parser() -> argparse.ArgumentParser:
    names = [name for group in GROUPS for name in group.ROWS]
    parser = argparse.ArgumentParser(
        prog="./scripts/bench",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--only", metavar="ROW", action="append", choices=names, help=f"one row (more than once: several): {', '.join(names)}"
    )
    parser.add_argument(
        "--runs", metavar="N", type=_positive, default=5, help="runs per contender, of which the median counts (default: 5)"
    )
    parser.add_argument("--spawns", metavar="N", type=_positive, default=10_000, help="program starts per storm (default: 10000)")
    parser.add_argument(
        "--rates", metavar="N,N", type=_rates, default=(), help="instead of the table: program starts at these fixed rates per second"
    )
    parser.add_argument(
        "--seconds", metavar="S", type=_positive, default=10, help="how long at each rate (default: 10; the published figures: 30)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write every single figure there")
    parser.add_argument("--markdown", action="store_true", help="print the table in the form of a README")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is no number above 0"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _rates(text: str) -> tuple[int, ...]:
    return tuple(_positive(word) for word in text.split(","))


_began = time.monotonic()


def _say(text: str) -> None:
    # Progress is for who waits, not for the file or pipe that takes the table.
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(f"bench: {time.monotonic() - _began:5.0f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
