"""Show what differs between two kept versions: settings by name, rules line by line, models by their weights.

It reads the state directory, which is root's, and needs no running agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel diff 11 12", "what version 12 changed"),
    ("brainkernel diff 11 12 --json", "for programs"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of diff."""
    parser.add_argument("a", type=options.natural, metavar="A", help="a version, as `brainkernel versions` shows it")
    parser.add_argument("b", type=options.natural, metavar="B", help="another one")
    options.add_json(parser)
    options.add_state_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print. Raises UsageError for a version that is not there, StoreError for a damaged one."""
    from brainkernel.cli import version_view  # noqa: PLC0415 # --help needs none of it

    found = version_view.differences(arguments.state_dir, arguments.a, arguments.b)
    if arguments.json:
        terminal.print_json({"a": arguments.a, "b": arguments.b, "files": [{"name": d.name, "lines": d.lines} for d in found]})
    elif not found:
        print(f"versions {arguments.a} and {arguments.b} hold the same")
    else:
        print("\n".join(line for d in found for line in (d.name, *(f"  {text}" for text in d.lines))))
    return 0
