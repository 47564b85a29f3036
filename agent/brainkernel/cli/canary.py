"""Try a version out on a share of all programs before it decides about all of them.

Which programs is chosen by a hash of their identity, so each stays with one version. `brainkernel versions` shows how both
do. A canary whose limits are more often wrong (at 95 % confidence) is withdrawn, one whose time is over
(versions.canary_hours) is taken up. With versions.canary_share each new version begins like that.
"""

from __future__ import annotations

import argparse

from brainkernel.cli import options, terminal
from brainkernel.errors import UsageError

EXAMPLES = (
    ("brainkernel canary 12 --share 10%", "version 12 decides about a tenth of all programs"),
    ("brainkernel canary promote", "take it up now"),
    ("brainkernel canary withdraw", "end the trial"),
)
_DEEDS = ("promote", "withdraw")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of canary."""
    parser.add_argument("what", metavar="N|promote|withdraw", help="the version to try, or what becomes of the one that is tried")
    parser.add_argument("--share", type=_share, default="10%", metavar="S", help="of all programs, such as 10%% (default: %(default)s)")
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Tell the daemon. Raises UsageError for a version that is not there, or where none is tried."""
    from brainkernel.cli import control_client  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import versions  # noqa: PLC0415

    if arguments.what in _DEEDS:
        wanted = versions.CanaryArguments(arguments.what)
    else:
        try:
            wanted = versions.CanaryArguments("try", options.natural(arguments.what), arguments.share)
        except argparse.ArgumentTypeError as error:
            msg = f"{error}; write the number of a version, promote or withdraw"
            raise UsageError(msg) from None
    state = control_client.ask(arguments.runtime_dir, versions.CANARY, versions.VersionsState, wanted)
    if arguments.json:
        terminal.print_json(state)
    else:
        print(state.text)
    return 0


def _share(text: str) -> float:
    number = text.removesuffix("%")
    try:
        share = float(number) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        msg = f"{text!r} is not a share; write 10% or 0.1"
        raise argparse.ArgumentTypeError(msg)
    return share
