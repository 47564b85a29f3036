"""Say whether the configuration is valid: each mistake with file, line, key and the nearest valid name.

Exit code 2 if it is not. A running daemon checks in the same way before it takes a changed configuration.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.cli import options, terminal
from brainkernel.config import DEFAULT_CONFIG_FILE
from brainkernel.config import load as load_config
from brainkernel.errors import ConfigError

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel check-config", "the installed configuration and rules"),
    ("brainkernel check-config --alerts ./alerts.yaml", "alert rules before they are installed"),
    ("brainkernel check-config --config ./brainkernel.toml --rules ./rules.d", "files that are not installed yet"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of check-config."""
    options.add_config(parser)
    parser.add_argument("--rules", type=Path, metavar="DIR", help="directory of your rules (default: /etc/brainkernel/rules.d)")
    parser.add_argument("--alerts", type=Path, metavar="F", help="your alert rules (default: alerts.yaml beside the configuration file)")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check all of it; a mistake is raised as ConfigError."""
    checked = [*_check_config(arguments.config), *_check_rules(arguments.rules), _check_alerts(arguments.alerts, arguments.config)]
    if arguments.json:
        terminal.print_json({"valid": True, "checked": checked})
    else:
        print("\n".join(f"valid: {what}" for what in checked))
    return 0


def _check_config(path: Path | None) -> list[str]:
    config = load_config(path)
    shown = path or DEFAULT_CONFIG_FILE
    checked = [str(shown) if shown.is_file() else f"{shown} is not there: the defaults hold"]
    if labels := config.quality.labels_file:
        from brainkernel.learn.labels import read_labels  # noqa: PLC0415 # few have one

        read_labels(Path(labels))
        checked.append(labels)
    return checked


# The administrator's rules come after the shipped ones, as in the agent: one may disable or replace the other.
def _check_rules(directory: Path | None) -> list[str]:
    from brainkernel.classify.ruleset import ADMIN_RULES, SHIPPED_RULES, load  # noqa: PLC0415 # YAML

    if directory is not None and not directory.is_dir():
        msg = f"{directory}: no such directory"
        raise ConfigError(msg)
    chosen = directory or ADMIN_RULES
    rules = load((SHIPPED_RULES, chosen), with_tests=True)
    if failures := rules.check():
        msg = failures[0] if len(failures) == 1 else f"{failures[0]} (and {len(failures) - 1} more)"
        raise ConfigError(msg)
    return [f"{SHIPPED_RULES} and {chosen}: {len(rules.rules)} rules, all their tests hold"]


def _check_alerts(named: Path | None, config_file: Path | None) -> str:
    from brainkernel.alerting.rulesfile import FILE_NAME, load  # noqa: PLC0415 # YAML

    if named is not None and not named.is_file():
        msg = f"{named}: no such file"
        raise ConfigError(msg)
    file = named or (config_file or DEFAULT_CONFIG_FILE).parent / FILE_NAME
    rules = load(file)
    return f"{file}: {len(rules)} alert rules" if file.is_file() else f"{file} is not there: no alerts"
