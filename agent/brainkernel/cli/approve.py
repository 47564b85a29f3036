"""Allow a pending limit: the process may be limited for an hour, and is as soon as it hurts again.

Safety rules still hold: what is protected stays so. Who approved is in `brainkernel audit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel approve 1234", "this process may be limited"),
    ("brainkernel approve 1234 --always", "and the same for this program from now on"),
    ("brainkernel pending", "what waits, with its evidence"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of approve."""
    options.add_id(parser)
    parser.add_argument(
        "--always", action="store_true", help="this program (for an interpreter: this script) in this category, from now on"
    )
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tell the daemon."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control, people  # noqa: PLC0415

    said = people.AnswerArguments(id=arguments.id, always=arguments.always)
    noted = control_client.ask(arguments.runtime_dir, control.APPROVE, people.Noted, said)
    if arguments.json:
        terminal.print_json(noted)
    else:
        print(render.noted_line(noted))
    return 0
