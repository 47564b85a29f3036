"""Take limits back: all of them, restored to the values from before.

With a running daemon it does it; without one, `--all` works from the undo ledger alone, so that nothing of ours
stays after a crash. Doing it twice does no harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options
from brainkernel.errors import DaemonNotRunningError, UsageError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from brainkernel.link.control import Releases

EXAMPLES = (
    ("brainkernel release --all", "end every limit now"),
    ("brainkernel undo 1234", "end one limit only"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of release."""
    parser.add_argument("--all", action="store_true", help="end every limit (required: to end one, use `brainkernel undo ID`)")
    options.add_json(parser)
    options.add_state_dir(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Release through the daemon, or from the ledger if there is none; 1 if a limit could not be ended."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    if not arguments.all:
        msg = "release: say --all to end every limit, or `brainkernel undo ID` to end one"
        raise UsageError(msg)
    try:
        releases = control_client.ask(arguments.runtime_dir, control.RELEASE_ALL, control.Releases)
    except DaemonNotRunningError:
        releases = _from_ledger(arguments.state_dir)
    return render.report_releases(releases, as_json=arguments.json)


def _from_ledger(state_dir: Path) -> Releases:
    from brainkernel.act.limiter import release_everything  # noqa: PLC0415 # D-Bus: not needed while a daemon answers
    from brainkernel.link.control import Released, Releases  # noqa: PLC0415

    done = release_everything(state_dir)
    return Releases(tuple(Released(one.action.id, one.action.comm, one.result, one.action.unit) for one in done))
