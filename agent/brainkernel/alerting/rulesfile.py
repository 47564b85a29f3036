"""`alerts.yaml`: rules under the key `alert_rules`, with file, line and key of whatever is wrong."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import yaml

from brainkernel.alerting.expression import ExpressionError, parse
from brainkernel.alerting.readings import NAMES
from brainkernel.alerting.rules import COOLDOWN_NS, LASTS_NS, NS_PER_S, ActionName, AlertRule, Event, Severity
from brainkernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from brainkernel.alerting.expression import Expression

FILE_NAME = "alerts.yaml"  # beside the configuration file
RULES_MAX = 200
_TOP = "alert_rules"
_KEYS = ("name", "condition", "on", "severity", "for", "cooldown", "lasts", "description", "actions")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?")
_UNIT_S = {"s": 1, None: 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_TEXT_LENGTH_MAX = 400


def load(file: Path) -> tuple[AlertRule, ...]:
    """Read all rules of a file, in its order; none if there is no such file. Raises ConfigError."""
    if not file.exists():
        return ()
    root = _root_of(file)
    if root is None:
        return ()
    top = _entries(root, file, (_TOP,), "file")
    node = top.get(_TOP)
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise _error(node, file, _TOP, "must be a list of rules, each beginning with `- name:`")
    if len(node.value) > RULES_MAX:
        raise _error(node, file, _TOP, f"at most {RULES_MAX} rules")
    rules: dict[str, AlertRule] = {}
    for item in node.value:
        rule = _rule_of(item, file)
        if rule.name in rules:
            raise _error(item, file, rule.name, "this name is used twice")
        rules[rule.name] = rule
    return tuple(rules.values())


def _root_of(file: Path) -> yaml.Node | None:
    try:
        with file.open(encoding="utf-8") as stream:
            root: yaml.Node | None = yaml.compose(stream, Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read: {error}"
        raise ConfigError(msg) from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        msg = f"{file}:{line}: not YAML: {getattr(error, 'problem', None) or error}"
        raise ConfigError(msg) from None
    return root


def _rule_of(node: yaml.Node, file: Path) -> AlertRule:
    entries = _entries(node, file, _KEYS, "rule")
    for key in ("name", "severity", "actions"):
        if key not in entries:
            raise _error(node, file, "rule", f"{key!r} is missing")
    name = _text(entries["name"], file, "name")
    if not _NAME.fullmatch(name):
        raise _error(entries["name"], file, "name", f"{name[:80]!r} must be letters, digits and _ . - (80 at most)")
    if ("condition" in entries) == ("on" in entries):
        raise _error(node, file, name, "needs either `condition` (over figures) or `on` (an event)")
    if "on" in entries and "for" in entries:
        raise _error(entries["for"], file, f"{name}.for", "an event has no duration; `for` goes with `condition`")
    on = Event(_one_of(entries["on"], file, f"{name}.on", Event)) if "on" in entries else None
    actions = _actions(entries["actions"], file, name)
    return AlertRule(
        name=name,
        severity=Severity(_one_of(entries["severity"], file, f"{name}.severity", Severity)),
        actions=actions,
        condition=None if on else _condition(entries["condition"], file, name),
        on=on,
        for_ns=_duration(entries.get("for"), file, f"{name}.for", 0),
        cooldown_ns=_duration(entries.get("cooldown"), file, f"{name}.cooldown", COOLDOWN_NS),
        lasts_ns=_lasts(entries.get("lasts"), file, name, by_event=on is not None and any(action.acts for action in actions)),
        description=_text(entries["description"], file, f"{name}.description")[:_TEXT_LENGTH_MAX] if "description" in entries else "",
    )


def _condition(node: yaml.Node, file: Path, name: str) -> Expression:
    try:
        return parse(_text(node, file, f"{name}.condition"), NAMES)
    except ExpressionError as error:
        raise _error(node, file, f"{name}.condition", str(error)) from None


def _actions(node: yaml.Node, file: Path, name: str) -> tuple[ActionName, ...]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    found = [ActionName(_one_of(one, file, f"{name}.actions", ActionName)) for one in nodes]
    if not found:
        raise _error(node, file, f"{name}.actions", "an alert without an action tells nobody; log_alert is the least")
    return tuple(dict.fromkeys(found))


def _lasts(node: yaml.Node | None, file: Path, name: str, *, by_event: bool) -> int | None:
    if not by_event:
        if node is not None:
            what = "`lasts` goes with `on` and an action inside the agent: a condition ends by itself, and what is told is told"
            raise _error(node, file, f"{name}.lasts", what)
        return None
    lasts_ns = _duration(node, file, f"{name}.lasts", LASTS_NS)
    if node is not None and not lasts_ns:
        raise _error(node, file, f"{name}.lasts", "must be longer than no time")
    return lasts_ns


def _one_of(node: yaml.Node, file: Path, key: str, valid: Iterable[str]) -> str:
    text, names = _text(node, file, key), [str(name) for name in valid]
    if text not in names:
        raise _error(node, file, key, f"{text!r} is none; {_nearest(text, names)}")
    return text


def _duration(node: yaml.Node | None, file: Path, key: str, default_ns: int) -> int:
    if node is None:
        return default_ns
    match = _DURATION.fullmatch(_text(node, file, key).strip())
    if match is None:
        raise _error(node, file, key, 'write a time such as "30s", "5m" or "1h"')
    return int(float(match[1]) * _UNIT_S[match[2]] * NS_PER_S)


def _entries(node: yaml.Node, file: Path, allowed: tuple[str, ...], what: str) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise _error(node, file, what, f"must be a mapping with {', '.join(allowed)}")
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = str(key_node.value)
        if key not in allowed:
            raise _error(key_node, file, f"{what}.{key}", f"unknown key; {_nearest(key, list(allowed))}")
        if key in found:
            raise _error(key_node, file, f"{what}.{key}", "set twice")
        found[key] = value
    return found


def _text(node: yaml.Node, file: Path, key: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _error(node, file, key, "must be one value")
    return str(node.value)


def _error(node: yaml.Node, file: Path, key: str, what: str) -> ConfigError:
    return ConfigError(f"{file}:{node.start_mark.line + 1}: {key}: {what}")


def _nearest(key: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(valid)}"
