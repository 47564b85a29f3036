"""Say whether a decision was good: the agent measures itself by it.

A bad word about a limit also leaves the program alone for a day. It does not end a limit that stands: `brainkernel undo` does.
`--label` says what the program is in your eyes. The figures are in `brainkernel status`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal
from brainkernel.model import Category

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel feedback 1234 good", "the decision was right"),
    ("brainkernel feedback 1234 bad --label interactive", "it was wrong: somebody waits for this program"),
)
_TEXT_MAX = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of feedback."""
    options.add_id(parser)
    parser.add_argument("word", choices=("good", "bad"), help="whether the decision was right")
    parser.add_argument("--label", choices=[c.value for c in Category], metavar="C", help=f"what it is: {', '.join(Category)}")
    parser.add_argument("--text", default="", metavar="T", help="a reason, shown by `brainkernel explain`")
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tell the daemon."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control, people  # noqa: PLC0415

    said = people.FeedbackArguments(
        id=arguments.id,
        good=arguments.word == "good",
        label=Category(arguments.label) if arguments.label else None,
        text=arguments.text[:_TEXT_MAX],
    )
    noted = control_client.ask(arguments.runtime_dir, control.FEEDBACK, people.Noted, said)
    if arguments.json:
        terminal.print_json(noted)
    else:
        print(render.noted_line(noted))
    return 0
