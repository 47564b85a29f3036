"""Look whether this host has what the agent needs, and what would leave it: each answer is ok, warn or fail, with a remedy.

Nothing is changed or sent. Exit code 1 if a check failed; a warning costs a feature only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal

if TYPE_CHECKING:
    import argparse

    from brainkernel.cli.checks import Check

EXAMPLES = (
    ("sudo brainkernel doctor", "all checks"),
    ("brainkernel doctor --protected", "what is never limited, whatever it is taken for, and by which rules"),
    ("""brainkernel doctor --json | jq -r '.checks[] | select(.state != "ok") | .name'""", "what is not well, for a program"),
)
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of doctor."""
    parser.add_argument(
        "--protected",
        action="store_true",
        help="list the programs and units that are never limited and all rules that keep a limit from being set; check nothing",
    )
    options.add_json(parser)
    options.add_config(parser)
    options.add_state_dir(parser)
    options.add_runtime_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check and print all."""
    from brainkernel.cli import checks, destinations  # noqa: PLC0415 # --help needs neither
    from brainkernel.host import read_facts  # noqa: PLC0415

    if arguments.protected:
        return _list_protected(arguments)
    root = Path("/")
    environment = destinations.gateway_environment(os.environ, root)
    found = [
        *checks.host_checks(read_facts()),
        *checks.library_checks(),
        checks.sight_check(),
        *checks.setting_checks(arguments.config, environment, destinations.groq_key(environment, root)),
        *destinations.destination_checks(arguments.config, environment, root),
        *checks.place_checks(arguments.state_dir),
        checks.daemon_check(arguments.runtime_dir),
    ]
    failed = any(check.state is checks.State.FAIL for check in found)
    if arguments.json:
        terminal.print_json({"ok": not failed, "checks": found})
    else:
        print("\n".join(lines_of(found, terminal.Style.of(sys.stdout))))
    return int(failed)


def _list_protected(arguments: argparse.Namespace) -> int:
    from brainkernel.config import load  # noqa: PLC0415 # --help needs neither
    from brainkernel.decide.safety import ELSEWHERE, PROTECTED_EXES, PROTECTED_UNITS, RULES  # noqa: PLC0415

    safety = load(arguments.config).safety
    lists = {
        "programs": sorted({*PROTECTED_EXES, *safety.protected_exes}),
        "units": sorted({*PROTECTED_UNITS, *safety.protected_units}),
        "packages": sorted(safety.protected_packages),
        "rules": [f"{name}: {why}" for name, why in ({rule.name: rule.why for rule in RULES} | ELSEWHERE).items()],
    }
    if arguments.json:
        terminal.print_json(lists)
    else:
        print("\n".join(line for heading, names in lists.items() if names for line in (f"{heading}:", *(f"  {n}" for n in names))))
    return 0


def lines_of(found: list[Check], style: terminal.Style) -> list[str]:
    """One line per check, its remedy below it."""
    from brainkernel.escape import shown  # noqa: PLC0415

    lines = []
    for check in found:
        state = style.paint(f"{check.state:<5}", _COLOURS[check.state])
        lines.append(f"{state}{check.name:<15}{shown(check.text)}")
        if check.remedy:
            lines.append(f"{'':<20}-> {shown(check.remedy)}")
    return lines
