"""Show how bold the agent is and why, or force a strategy for a time.

aggressive, balanced and conservative ask for a verdict 0.3, 0.5 and 0.7 sure before they limit, or for what the policy asks
for if that is more, and judge a program that hurts again after 5, 10 and 30 s. Left alone (auto), the agent is balanced;
conservative while stability is below 0.8 or while decisions take more than 3 s on average; and aggressive if they do so
with fewer than 5 % false positives. It changes by itself every 5 minutes at most; `brainkernel audit` has each change
with the figures that caused it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal
from brainkernel.errors import UsageError

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel strategy", "which one is in force, and why"),
    ("brainkernel strategy conservative --for 2h", "during a deployment"),
    ("brainkernel strategy auto", "let the rules choose again"),
)
_NAMES = ("aggressive", "balanced", "conservative", "auto")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of strategy."""
    parser.add_argument("name", nargs="?", choices=_NAMES, help="the strategy to force; auto: let the rules choose")
    parser.add_argument("--for", dest="length", type=options.duration, metavar="T", help="90s, 15m, 2h, 7d (default: until told otherwise)")
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask or tell the daemon, and print what holds now. Raises UsageError for a length of nothing."""
    from brainkernel.cli import control_client, render  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control, people  # noqa: PLC0415

    if arguments.length is not None and arguments.name in (None, people.AUTO_STRATEGY):
        msg = "--for needs a strategy to force: aggressive, balanced or conservative"
        raise UsageError(msg)
    if arguments.name is None:
        state = control_client.ask(arguments.runtime_dir, control.STRATEGY, people.StrategyState)
    else:
        wanted = people.StrategyArguments(arguments.name, arguments.length)
        state = control_client.ask(arguments.runtime_dir, control.SET_STRATEGY, people.StrategyState, wanted)
    if arguments.json:
        terminal.print_json(state)
    else:
        print(render.strategy_text(state))
    return 0
