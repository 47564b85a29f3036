"""Forbid a pending limit: the program is not asked about again for a day.

Who denied is in `brainkernel audit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import answer

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel deny 1234", "it is left alone for a day"),
    ("brainkernel deny 1234 --always", "and the same for this program from now on"),
    ("brainkernel pending", "what waits, with its evidence"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of deny."""
    answer.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tell the daemon."""
    from brainkernel.link import control  # noqa: PLC0415 # --help needs it not

    return answer.tell(control.DENY, arguments)
