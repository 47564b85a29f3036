"""Show the kept versions of policy, rules, thresholds, strategy and models, and which one is in force.

Each edit of a file under /etc/brainkernel, each thing learned and each forced strategy is a version. `in force` decides;
`canary` decides about a share of all programs first; `withdrawn` did worse and is not taken up again by itself. `brainkernel
diff A B` shows what differs, `brainkernel rollback` goes back. Without a running agent it reads the state directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel versions", "the newest first, with how often their limits were wrong"),
    ("brainkernel versions --json | jq .in_force", "for programs"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of versions."""
    options.add_json(parser)
    options.add_state_dir(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon, or read the disk, and print."""
    from brainkernel.cli import version_view  # noqa: PLC0415 # --help needs none of it

    state = version_view.state(arguments.runtime_dir, arguments.state_dir)
    if arguments.json:
        terminal.print_json(state)
    else:
        print("\n".join(version_view.lines_of(state)))
    return 0
