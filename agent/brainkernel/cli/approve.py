"""Allow a pending limit: the process may be limited for an hour, and is as soon as it hurts again.

Safety rules still hold: what is protected stays so. Who approved is in `brainkernel audit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import answer

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel approve 1234", "this process may be limited"),
    ("brainkernel approve 1234 --always", "and the same for this program from now on"),
    ("brainkernel pending", "what waits, with its evidence"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of approve."""
    answer.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tell the daemon."""
    from brainkernel.link import control  # noqa: PLC0415 # --help needs it not

    return answer.tell(control.APPROVE, arguments)
