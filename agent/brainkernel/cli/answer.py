"""What approve and deny share: one pending limit, for now or for always, and who said so is noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of both."""
    options.add_id(parser)
    parser.add_argument(
        "--always", action="store_true", help="this program (for an interpreter: this script) in this category, from now on"
    )
    options.add_json(parser)
    options.add_runtime_dir(parser)


def tell(command: str, arguments: argparse.Namespace) -> int:
    """Tell the daemon, by this control command."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import people  # noqa: PLC0415

    said = people.AnswerArguments(id=arguments.id, always=arguments.always)
    noted = control_client.ask(arguments.runtime_dir, command, people.Noted, said)
    if arguments.json:
        terminal.print_json(noted)
    else:
        print(render.noted_line(noted))
    return 0
