"""Run recorded events through the whole pipeline at full speed, on a simulated clock, without ever acting.

For each event it prints whether the gate let it pass and why, and what was decided.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from brainkernel.cli import jsonl, options

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    (
        "brainkernel record --output day.jsonl --seconds 60; brainkernel replay --input day.jsonl",
        "what the agent would have thought of a minute",
    ),
    ("brainkernel replay --input day.jsonl --json", "one JSON object per event"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of replay."""
    jsonl.add_input(parser, "recorded events")
    options.add_json(parser)
    options.add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay all of it."""
    from brainkernel import config  # noqa: PLC0415 # --help needs neither
    from brainkernel.replaying import replay  # noqa: PLC0415 # the whole pipeline

    with jsonl.opened_input(arguments.input) as events:
        return replay(events, config.load(arguments.config), sys.stdout, as_json=arguments.json)
