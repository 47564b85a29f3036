"""This command is planned and does nothing yet."""

from __future__ import annotations

import argparse
import sys

from brainkernel.cli.catalogue import NOT_YET

EXAMPLES = (("brainkernel {name}", "prints `not yet` and exits with 1"),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take whatever comes: the answer is the same."""
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Say that it is not there yet."""
    what = next(e.help for e in NOT_YET if e.name == arguments.command)
    print(f"not yet: `brainkernel {arguments.command}` ({what}) is planned and not part of this version", file=sys.stderr)
    return 1
