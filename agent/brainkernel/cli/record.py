"""Write this host's program starts, exits and forks into a file, one JSON object a line, for `brainkernel replay`.

The file holds command lines, which may hold secrets: it is written readable by its owner alone.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from brainkernel.cli import jsonl, options
from brainkernel.errors import PermissionDeniedError

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel record --output day.jsonl", "until Ctrl-C"),
    ("brainkernel record --output - --seconds 10", "ten seconds, on stdout"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of record."""
    jsonl.add_output(parser, "the recording")
    parser.add_argument("--seconds", type=options.seconds, metavar="N", help="end after this time (default: at Ctrl-C)")
    parser.add_argument(
        "--loader", choices=("auto", "core", "bcc", "netlink"), default="auto", help="how kernel events are read (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Record until the end."""
    from brainkernel.replaying import record  # noqa: PLC0415 # loaders

    if os.geteuid() != 0:
        msg = "record reads the kernel's events: run it as root"
        raise PermissionDeniedError(msg)
    # `timeout` and a terminal that is closed end it as Ctrl-C does: what was recorded is moved to its place.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
    with jsonl.opened_output(arguments.output, private=True) as file:
        return record(file, arguments.loader, arguments.seconds)
