"""Rule files: YAML to rules, with the file, the line and the key of whatever is wrong."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from brainkernel.classify import rules
from brainkernel.errors import ConfigError
from brainkernel.model import Category

if TYPE_CHECKING:
    from pathlib import Path

_FILE_KEYS = ("groups", "disable", "rules")
_RULE_KEYS = ("id", "category", "confidence", "reason", "match", "unless", "must_match", "must_not_match")
_REQUIRED = ("id", "category", "confidence", "reason", "match")
_ID_LENGTH_MAX = 80


@dataclass(slots=True)
class RuleFile:
    """What one file says. Its groups have been added to those of the files before it."""

    file: Path
    disable: list[tuple[str, str]] = field(default_factory=list)  # id, where
    nodes: list[yaml.MappingNode] = field(default_factory=list)


def read(file: Path, groups: rules.Groups) -> RuleFile:
    """Read a file's structure and add its groups. Raises ConfigError for what is not a rule file."""
    found = RuleFile(file)
    root = _root_of(file)
    if root is None:
        return found
    for key, node in _entries(root, file, _FILE_KEYS, "file").items():
        if key == "groups":
            _add_groups(node, file, groups)
        elif key == "disable":
            found.disable = [(str(v), f"{file}:{node.start_mark.line + 1}: disable") for v in _values(node, file, "disable")]
        else:
            found.nodes = _mappings(node, file, "rules")
    return found


def _root_of(file: Path) -> yaml.Node | None:
    try:
        with file.open(encoding="utf-8") as stream:
            root: yaml.Node | None = yaml.compose(stream, Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read: {error}"
        raise ConfigError(msg) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        msg = f"{file}:{line}: not YAML: {getattr(error, 'problem', None) or error}"
        raise ConfigError(msg) from None
    return root


def _add_groups(node: yaml.Node, file: Path, groups: rules.Groups) -> None:
    for name, members in _entries(node, file, None, "groups").items():
        try:
            groups.add(name, _values(members, file, f"groups.{name}"))
        except rules.ConditionError as error:
            msg = f"{_where(members, file)}: groups.{name}: {error}"
            raise ConfigError(msg) from None


def rule_of(node: yaml.MappingNode, file: Path, groups: rules.Groups, *, with_tests: bool) -> rules.Rule:
    """Make the rule that a node describes. Tests are only kept when they are to be run: they are most of a file."""
    entries = _entries(node, file, _RULE_KEYS, "rule")
    for key in _REQUIRED:
        if key not in entries:
            msg = f"{_where(node, file)}: rule: {key!r} is missing"
            raise ConfigError(msg)
    rule_id = str(_scalar(entries["id"], file, "id"))[:_ID_LENGTH_MAX]
    category = _category(entries["category"], file)
    match, keys = _conditions(entries["match"], file, groups, f"{rule_id}.match")
    if not keys:
        msg = f"{_where(node, file)}: {rule_id}.match: a rule without a condition would match everything"
        raise ConfigError(msg)
    if category is not Category.SUSPICIOUS and rules.IDENTITY.isdisjoint(keys):
        msg = (
            f"{_where(entries['match'], file)}: {rule_id}.match: a program can claim to be anything in its command line; "
            f"a rule that trusts needs one of {', '.join(sorted(rules.IDENTITY))}"
        )
        raise ConfigError(msg)
    return rules.Rule(
        id=rule_id,
        category=category,
        confidence=_confidence(entries["confidence"], file),
        reason=str(_scalar(entries["reason"], file, "reason")),
        predicates=match.predicates,
        unless=_exceptions(entries.get("unless"), file, groups, rule_id),
        index_names=match.index_names,
        index_paths=match.index_paths,
        source=_where(node, file),
        must_match=_tests(entries.get("must_match"), file) if with_tests else (),
        must_not_match=_tests(entries.get("must_not_match"), file) if with_tests else (),
    )


def _exceptions(node: yaml.Node | None, file: Path, groups: rules.Groups, rule_id: str) -> tuple[tuple[rules.Predicate, ...], ...]:
    if node is None:
        return ()
    nodes = _mappings(node, file, "unless") if isinstance(node, yaml.SequenceNode) else [node]
    return tuple(_conditions(n, file, groups, f"{rule_id}.unless")[0].predicates for n in nodes)


def _conditions(node: yaml.Node, file: Path, groups: rules.Groups, what: str) -> tuple[rules.Conditions, set[str]]:
    entries = _entries(node, file, rules.KEYS, what)
    raw = {key: _values(value, file, f"{what}.{key}") for key, value in entries.items()}
    try:
        return rules.compiled(raw, groups), set(raw)
    except rules.ConditionError as error:
        msg = f"{_where(entries[error.key], file)}: {what}.{error.key}: {error}"
        raise ConfigError(msg) from None


def _category(node: yaml.Node, file: Path) -> Category:
    text = str(_scalar(node, file, "category"))
    try:
        return Category(text)
    except ValueError:
        msg = f"{_where(node, file)}: category: {text!r} is none; {_nearest(text, [c.value for c in Category])}"
        raise ConfigError(msg) from None


def _confidence(node: yaml.Node, file: Path) -> float:
    value = _scalar(node, file, "confidence")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        msg = f"{_where(node, file)}: confidence: must be a number above 0 and up to 1, not {value!r}"
        raise ConfigError(msg)
    return float(value)


def _tests(node: yaml.Node | None, file: Path) -> tuple[Any, ...]:
    if node is None:
        return ()
    if not isinstance(node, yaml.SequenceNode):
        msg = f"{_where(node, file)}: tests must be a list of command lines or records"
        raise ConfigError(msg)
    return tuple(_plain(n) for n in node.value)


def _entries(node: yaml.Node, file: Path, allowed: tuple[str, ...] | None, what: str) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        msg = f"{_where(node, file)}: {what}: must be a mapping of keys to values"
        raise ConfigError(msg)
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = str(key_node.value)
        if allowed is not None and key not in allowed:
            msg = f"{_where(key_node, file)}: {what}.{key}: unknown key; {_nearest(key, list(allowed))}"
            raise ConfigError(msg)
        if key in found:
            msg = f"{_where(key_node, file)}: {what}.{key}: set twice"
            raise ConfigError(msg)
        found[key] = value
    return found


def _mappings(node: yaml.Node, file: Path, what: str) -> list[yaml.MappingNode]:
    if not isinstance(node, yaml.SequenceNode):
        msg = f"{_where(node, file)}: {what}: must be a list"
        raise ConfigError(msg)
    for item in node.value:
        if not isinstance(item, yaml.MappingNode):
            msg = f"{_where(item, file)}: {what}: each item must be a mapping"
            raise ConfigError(msg)
    return list(node.value)


def _values(node: yaml.Node, file: Path, what: str) -> list[Any]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    values = [_scalar(n, file, what) for n in nodes]
    if not values:
        msg = f"{_where(node, file)}: {what}: an empty list matches nothing"
        raise ConfigError(msg)
    return values


def _scalar(node: yaml.Node, file: Path, what: str) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        msg = f"{_where(node, file)}: {what}: must be one value"
        raise ConfigError(msg)
    return _plain(node)


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_plain(n) for n in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(k.value): _plain(v) for k, v in node.value}
    text = str(node.value)
    if node.tag == "tag:yaml.org,2002:bool":
        return text.lower() in ("true", "yes", "on")
    if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
        try:
            return int(text) if node.tag.endswith("int") else float(text)
        except ValueError:  # 1_000, 0x10, 1:30: no setting of ours is written so
            return text
    return text


def _where(node: yaml.Node, file: Path) -> str:
    return f"{file}:{node.start_mark.line + 1}"


def _nearest(key: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(valid)}"
