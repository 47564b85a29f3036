"""Say how the alert rules stand, send a test, or show what a condition may name.

Rules stand in alerts.yaml beside the configuration file, under `alert_rules:`; SIGHUP reads them again. Each has a name,
a severity (info, warning, error, critical), actions, and either a `condition` over figures (with `for: 5m` it must
hold so long) or an event with `on:` (what it makes the agent do ends after `lasts: 10m`). Addresses of channels stand in
notify.d/slack.url, pagerduty.url, operations.url and webhook.url beside that file (mode 0600, one Apprise URL per line),
or in systemd credentials of the gateway's service named brainkernel-notify-slack and so on.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

    from brainkernel.link.control import AlertState

EXAMPLES = (
    ("brainkernel alert list", "how each rule stands"),
    ("brainkernel alert test high_decision_latency", "send a test by each of the rule's channels, and say how that went"),
    ("brainkernel alert names", "the figures, events and actions that a rule may name"),
)
_COLOURS = {"firing": "red", "pending": "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and options of alert."""
    parser.add_argument(
        "what", choices=("list", "test", "names"), help="list: how rules stand; test: send one; names: what a rule may name"
    )
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="the rule to test")
    options.add_json(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it; 1 if a test was not delivered."""
    from brainkernel.errors import UsageError  # noqa: PLC0415 # --help needs it not

    if (arguments.what == "test") != bool(arguments.name):
        msg = "alert test needs the NAME of a rule, the others none; `brainkernel alert list` shows the names"
        raise UsageError(msg)
    if arguments.what == "names":
        return _names(as_json=arguments.json)
    return _test(arguments) if arguments.what == "test" else _list(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from brainkernel.cli import control_client  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    states = control_client.ask(arguments.runtime_dir, control.ALERTS, control.AlertStates)
    if arguments.json:
        terminal.print_json(states)
    elif states.alerts:
        print("\n".join(_line_of(one, terminal.Style.of(sys.stdout)) for one in states.alerts))
    else:
        print(f"no alert rules: {states.file} has none")
    return 0


def _line_of(one: AlertState, style: terminal.Style) -> str:
    from brainkernel.cli.render import duration  # noqa: PLC0415 # --help needs it not

    since = f" for {duration(one.since_s)}" if one.since_s is not None else ""
    figures = f" ({one.figures})" if one.figures else ""
    told = {0: "never told", 1: "told once"}.get(one.told, f"told {one.told} times")
    state = style.paint(f"{one.state:<8}", _COLOURS.get(one.state, ""))
    return f"{state}{one.severity:<9}{one.name}{since}: {one.rule}{figures}; {told}; {', '.join(one.actions)}"


def _test(arguments: argparse.Namespace) -> int:
    from brainkernel.cli import control_client  # noqa: PLC0415 # --help needs neither
    from brainkernel.link import control  # noqa: PLC0415

    asked = control.NameArguments(arguments.name[:80])
    tested = control_client.ask(arguments.runtime_dir, control.ALERT_TEST, control.AlertTested, asked)
    if arguments.json:
        terminal.print_json(tested)
    elif not tested.channels:
        print(f"{arguments.name} notifies by no channel; what else it does is not tried in a test")
    for one in () if arguments.json else tested.channels:
        print(f"{one.channel}: {'delivered' if one.delivered else 'NOT delivered'}{f': {one.text}' if one.text else ''}")
    return int(any(not one.delivered for one in tested.channels))


def _names(*, as_json: bool) -> int:
    from brainkernel.alerting.readings import NAMES  # noqa: PLC0415 # --help needs neither
    from brainkernel.alerting.rules import ACTION_HELP, EVENT_HELP  # noqa: PLC0415

    if as_json:
        figures = {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in NAMES.items()}
        terminal.print_json({"figures": figures, "events": EVENT_HELP, "actions": ACTION_HELP})
        return 0
    print("figures (condition:)")
    print("\n".join(f"  {name:<24}{unit:<12}{meaning}" for name, (unit, meaning) in NAMES.items()))
    print("events (on:)")
    print("\n".join(f"  {event.value:<24}{meaning}" for event, meaning in EVENT_HELP.items()))
    print("actions")
    print("\n".join(f"  {action.value:<30}{meaning}" for action, meaning in ACTION_HELP.items()))
    return 0
