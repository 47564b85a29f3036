"""Show who did what to the agent and when: pauses, undos, releases, approvals, denials, strategies; newest first.

Who it was is what the kernel says of the other end of the socket. The log is only ever added to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel audit", "the newest 50 deeds"),
    ("brainkernel audit --limit 500 --json", "for programs"),
)
_LIMIT_MAX = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of audit."""
    parser.add_argument(
        "--limit", type=options.natural, default=50, metavar="N", help=f"how many, 1 to {_LIMIT_MAX} (default: %(default)s)"
    )
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control, people  # noqa: PLC0415

    asked = people.AuditArguments(limit=min(_LIMIT_MAX, max(1, arguments.limit)))
    log = control_client.ask(arguments.runtime_dir, control.AUDIT, people.AuditLog, asked)
    if arguments.json:
        terminal.print_json(log)
    else:
        print("\n".join(render.audit_lines(log)))
    return 0
