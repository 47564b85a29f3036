"""Tell the whole story of one decision.

The event, the evidence, what each stage answered and how long it took, the limit and what it achieved, what
forbade it, and the command that undoes it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel explain 1234", "the story of decision 1234 of `brainkernel list`"),
    ("brainkernel explain 1234 --json", "all of it for a program"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of explain."""
    options.add_id(parser)
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print."""
    from brainkernel.cli import control_client, story  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    explanation = control_client.ask(arguments.runtime_dir, control.EXPLAIN, control.Explanation, control.IdArguments(arguments.id))
    if arguments.json:
        terminal.print_json(explanation.record)
    else:
        print("\n".join(story.story_lines(explanation.record, terminal.Style.of(sys.stdout))))
    return 0
