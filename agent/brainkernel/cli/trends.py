"""Show the agent's own figures over time: how they stand, what is unlike itself, and where they go.

Without a name: every watched figure with what it is used to, its slope over the last three hours and, if it goes on like this,
when it crosses its bound; then the latest anomalies. With names: those figures over time. One value a second is kept for two
hours, one a minute for seven days, one an hour for 120 days.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal
from brainkernel.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from brainkernel.link.reading import SeriesFigures

EXAMPLES = (
    ("brainkernel trends", "how the agent's own figures stand, and where they go"),
    ("brainkernel trends decision_p95_ms own_memory_bytes --since 24h", "two of them over a day"),
    ("brainkernel trends --names", "which figures are kept"),
    ("brainkernel trends host_cpu_pct --since 2h --step 60s --json", "for a program"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of trends."""
    parser.add_argument("name", nargs="*", help="a figure, see --names; several on one grid of time")
    parser.add_argument("--names", action="store_true", help="list the figures that are kept")
    parser.add_argument("--since", type=options.duration, default=3600.0, metavar="T", help="how far back: 15m, 24h, 7d (default: 1h)")
    parser.add_argument(
        "--step", type=options.duration, default=0.0, metavar="T", help="one value for this time, or longer (default: fine)"
    )
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print. Raises UsageError for a figure that is not kept."""
    from brainkernel.cli import control_client, trend_lines  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import reading  # noqa: PLC0415

    style = terminal.Style.of(sys.stdout)
    if not arguments.name and not arguments.names:
        trends = control_client.ask(arguments.runtime_dir, reading.TRENDS, reading.Trends)
        if arguments.json:
            terminal.print_json(trends)
        else:
            print("\n".join(trend_lines.trends_lines(trends, style)))
        return 0
    now_s = int(time.time())
    wanted = reading.SeriesArguments(
        names=() if arguments.names else tuple(arguments.name),
        from_s=max(0, now_s - int(arguments.since)),
        to_s=now_s,
        step_s=int(arguments.step),
    )
    figures = control_client.ask(arguments.runtime_dir, reading.SERIES, reading.SeriesFigures, wanted)
    _check_known(arguments.name, figures)
    if arguments.json:
        terminal.print_json(figures)
    elif arguments.names:
        print("\n".join(figures.names))
    else:
        print("\n".join(trend_lines.series_lines(figures, terminal.width_of(sys.stdout), style)))
    return 0


def _check_known(names: list[str], figures: SeriesFigures) -> None:
    unknown = [name for name in names if name not in figures.series]
    if unknown and not figures.names:
        msg = f"no figure {unknown[0]!r} is kept; `brainkernel trends --names` lists those that are"
        raise UsageError(msg)
