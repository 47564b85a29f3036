"""Watch processes live: what each is, who says so, its CPU and waiting, the limit on it and what that achieved.

Keys: arrows choose, / filters (by name, path, category, pid), s changes the order. Of the chosen process, u undoes its limit, a
approves and d denies a limit that waits, g and b say that the decision was good or bad. p pauses or resumes acting, q ends. What
changes something needs root. --once prints one screen instead, which needs no terminal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

    from brainkernel.link.control import ProcessesArguments, ProcessRows

EXAMPLES = (
    ("brainkernel top", "watch, every second"),
    ("brainkernel top --once --limit 10", "the ten greediest, as text"),
    ("brainkernel top --json", "the same for programs"),
)
_LIMIT_MAX = 2_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of top."""
    parser.add_argument("--once", action="store_true", help="print one screen and end")
    parser.add_argument("--limit", type=options.natural, default=500, metavar="N", help="how many processes (default: %(default)s)")
    parser.add_argument(
        "--interval", type=options.seconds, default=1.0, metavar="S", help="seconds between two looks (default: %(default)s)"
    )
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it until the end. Raises UsageError where Textual is not installed."""
    from brainkernel.cli import control_client, top_view  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    asked = control.ProcessesArguments(min(_LIMIT_MAX, max(1, arguments.limit)))
    first = control_client.ask(arguments.runtime_dir, control.PROCESSES, control.ProcessRows, asked)
    if arguments.json:
        terminal.print_json(first)
        return 0
    if arguments.once:
        width = terminal.width_of(sys.stdout)
        print(
            "\n".join(
                [
                    top_view.summary(first, width),
                    top_view.header(width),
                    *(top_view.line(row, width) for row in top_view.chosen(first.rows, "", "cpu")),
                ]
            )
        )
        return 0
    return _live(arguments, first, asked)


def _live(arguments: argparse.Namespace, first: ProcessRows, asked: ProcessesArguments) -> int:
    from brainkernel.errors import UsageError  # noqa: PLC0415 # --help needs it not

    try:
        from brainkernel.cli.top_app import TopApp  # noqa: PLC0415 # Textual
    except ModuleNotFoundError as error:
        msg = f"the live view needs {error.name}: pip install 'brainkernel-agent[top]'; --once works without it"
        raise UsageError(msg) from None
    return TopApp.of_daemon(arguments.runtime_dir, first, asked, arguments.interval).run_to_end()
