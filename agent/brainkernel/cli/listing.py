"""Show the latest decisions, newest first."""

from __future__ import annotations

import argparse
import sys

from brainkernel.cli import options, terminal

EXAMPLES = (
    ("brainkernel list", "the newest 50 decisions"),
    ("brainkernel list --active", "the limits that stand now"),
    ("brainkernel list --limit 200 --program firefox", "the newest decisions about one program"),
    ("brainkernel list --json --before 1200", "the page before decision 1200"),
)
_LIMIT_MAX = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of list."""
    parser.add_argument("--active", action="store_true", help="only decisions whose limit stands now")
    parser.add_argument("--limit", type=_limit, default=50, metavar="N", help=f"how many, 1 to {_LIMIT_MAX} (default: %(default)s)")
    parser.add_argument("--before", type=options.natural, metavar="ID", help="only decisions older than this one")
    parser.add_argument("--program", default="", metavar="P", help="a pid, or part of a program's path or name")
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    asked = control.ListArguments(
        limit=arguments.limit, active_only=arguments.active, before_id=arguments.before, program=arguments.program[:256]
    )
    listing = control_client.ask(arguments.runtime_dir, control.LIST, control.Listing, asked)
    if arguments.json:
        for decision in listing.decisions:
            print(terminal.json_line(decision))
        return 0
    print("\n".join(render.listing_lines(listing, terminal.width_of(sys.stdout), terminal.Style.of(sys.stdout))))
    return 0


def _limit(text: str) -> int:
    number = options.natural(text)
    if not 1 <= number <= _LIMIT_MAX:
        msg = f"{number} is not between 1 and {_LIMIT_MAX}"
        raise argparse.ArgumentTypeError(msg)
    return number
