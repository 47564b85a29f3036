"""Print a script that teaches a shell to complete this command: names, options, choices."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel completion bash > /etc/bash_completion.d/brainkernel", "for all users of bash"),
    ("brainkernel completion fish > ~/.config/fish/completions/brainkernel.fish", "for one user of fish"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell to write for")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab  # noqa: PLC0415 # of no use to any other command

    from brainkernel.cli.parser import parser_of  # noqa: PLC0415 # with None: loads every command

    print(shtab.complete(parser_of(None), arguments.shell))
    return 0
