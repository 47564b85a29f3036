"""Go back to an earlier version of policy, rules, thresholds, strategy and models, at once.

Without a number it is the one before. Files under /etc/brainkernel stay as they are: the earlier version is in force over
them until one of them changes. What is not versioned stays: the mode, the protected programs and units, the LLM. Without a
running agent the version is in force at the next start.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel rollback", "take the latest change back"),
    ("brainkernel rollback 12", "put version 12 in force, whether older or newer"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of rollback."""
    parser.add_argument("number", nargs="?", type=options.natural, metavar="N", help="the version, as `brainkernel versions` shows it")
    options.add_json(parser)
    options.add_state_dir(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tell the daemon, or write the disk. Raises UsageError for a version that is not there."""
    from brainkernel.cli import control_client, version_view  # noqa: PLC0415 # --help needs none of it
    from brainkernel.clock import SystemClock  # noqa: PLC0415
    from brainkernel.errors import DaemonNotRunningError  # noqa: PLC0415
    from brainkernel.link import versions  # noqa: PLC0415
    from brainkernel.versioning import offline  # noqa: PLC0415

    try:
        state = control_client.ask(
            arguments.runtime_dir, versions.ROLLBACK, versions.VersionsState, versions.RollbackArguments(arguments.number)
        )
        text = state.text
    except DaemonNotRunningError:
        if not version_view.is_kept(arguments.state_dir):
            raise
        text = offline.rollback(arguments.state_dir, arguments.number, f"uid {os.getuid()}", SystemClock(), print)
        state = version_view.from_disk(arguments.state_dir)
    if arguments.json:
        terminal.print_json(state)
    else:
        print(text)
    return 0
