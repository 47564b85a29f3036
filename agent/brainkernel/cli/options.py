"""The options that several commands share, so that each is declared and worded once."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from brainkernel.config import DEFAULT_CONFIG_FILE, DEFAULT_RUNTIME_DIR, DEFAULT_STATE_DIR

RUNTIME_DIR_VARIABLE = "BRAINKERNEL_RUNTIME_DIR"


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of text for people")


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config`: another configuration file."""
    parser.add_argument("--config", type=Path, metavar="F", help=f"configuration file (default: {DEFAULT_CONFIG_FILE})")


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    """`--state-dir`: another database and ledger."""
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="D",
        default=DEFAULT_STATE_DIR,
        help="directory of the database and the undo ledger (default: %(default)s)",
    )


def add_runtime_dir(parser: argparse.ArgumentParser) -> None:
    """`--runtime-dir`: another place for the sockets."""
    default = Path(os.environ.get(RUNTIME_DIR_VARIABLE) or DEFAULT_RUNTIME_DIR)
    parser.add_argument(
        "--runtime-dir",
        type=Path,
        metavar="R",
        default=default,
        help=f"directory of the sockets (default: {DEFAULT_RUNTIME_DIR}, or ${RUNTIME_DIR_VARIABLE})",
    )


def add_id(parser: argparse.ArgumentParser) -> None:
    """The number of a decision."""
    parser.add_argument("id", type=natural, metavar="ID", help="number of the decision, as `brainkernel list` shows it")


def natural(text: str) -> int:
    """A whole number from 0, for argparse."""
    if not (text.isascii() and text.isdecimal()) or int(text) >= 1 << 63:
        msg = f"{text!r} is not a whole number"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(text: str) -> float:
    """A length of time such as 90s, 15m, 2h or 7d, in seconds, for argparse."""
    unit_s = _UNITS_S.get(text[-1:], 0)
    number = text[:-1]
    if not unit_s or not (number.isascii() and number.isdecimal()) or not 0 < int(number) * unit_s <= 365 * _UNITS_S["d"]:
        msg = f"{text!r} is not a length of time; write 90s, 15m, 2h or 7d"
        raise argparse.ArgumentTypeError(msg)
    return float(int(number) * unit_s)


def seconds(text: str) -> float:
    """A positive time in seconds, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"{text!r} is not a positive number of seconds"
        raise argparse.ArgumentTypeError(msg)
    return value
