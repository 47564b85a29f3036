"""Say what the running agent does and how it fares.

Mode, kernel loader, language model, counts since the start, and how long each stage takes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel status", "for people"),
    ("brainkernel status --json | jq .counts.events_lost", "one figure for a program"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of status."""
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    status = control_client.ask(arguments.runtime_dir, control.STATUS, control.Status)
    if arguments.json:
        terminal.print_json(status)
    else:
        print("\n".join(render.status_lines(status, terminal.Style.of(sys.stdout))))
    return 0
