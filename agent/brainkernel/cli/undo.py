"""Take one limit back: the values from before it are restored, and the program is left alone for a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel undo 1234", "end the limit of decision 1234"),
    ("brainkernel list --active", "which limits stand now"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of undo."""
    options.add_id(parser)
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon to undo, print how it went; 1 if it failed."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    releases = control_client.ask(arguments.runtime_dir, control.UNDO, control.Releases, control.IdArguments(arguments.id))
    return render.report_releases(releases, as_json=arguments.json)
