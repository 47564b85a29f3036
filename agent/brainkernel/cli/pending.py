"""Show the limits that wait for a person's approval, with their evidence.

A category waits where `policy.CATEGORY.approval = true`. No answer within `approvals.timeout_s` is a no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel pending", "for people"),
    ("brainkernel pending --json | jq '.waiting[].id'", "for programs"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of pending."""
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control, people  # noqa: PLC0415

    pending = control_client.ask(arguments.runtime_dir, control.PENDING, people.PendingLimits)
    if arguments.json:
        terminal.print_json(pending)
    else:
        print("\n".join(render.pending_lines(pending)))
    return 0
