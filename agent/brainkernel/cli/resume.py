"""Act again after a pause, as the configured mode allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options

if TYPE_CHECKING:
    import argparse

EXAMPLES = (("brainkernel resume", "end the pause"),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of resume."""
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print what holds now."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    acting = control_client.ask(arguments.runtime_dir, control.RESUME, control.Acting)
    return render.report_acting(acting, as_json=arguments.json)
