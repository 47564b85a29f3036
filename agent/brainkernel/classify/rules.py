"""Rules: conditions on a program, and the verdict of the one that matches.

The order is the whole semantics. Rules that say `suspicious` are asked first; of all others the first that matches
wins, in the order of the files' names and, inside a file, from top to bottom. A condition with several values holds if
any of them does; a rule matches if all its conditions hold and none of its `unless`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from brainkernel.classify.paths import name_of
from brainkernel.classify.patterns import glob_of, search_of
from brainkernel.model import Category, Mark, PackageState

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.classify.facts import Facts

    Search = Callable[[str], re.Match[str] | None]

    Predicate = Callable[[Facts], bool]
    Condition = Callable[[list[Any], "Groups"], Predicate]

_Made = TypeVar("_Made")


class ConditionError(ValueError):
    """A condition's value is not valid; the message says what is, `key` names the condition."""

    key = ""


class Groups:
    """Named groups of program names. One expansion is kept once, however many rules ask for it."""

    def __init__(self) -> None:
        self.proven = False  # the rules that follow were tested when the package was made: their expressions are valid
        self._members: dict[str, frozenset[str]] = {}
        self._expanded: dict[tuple[str, ...], frozenset[str]] = {}

    def add(self, name: str, members: list[Any]) -> None:
        """Add members to a group, `@group` among them. Raises ConditionError for a group that is not there yet."""
        self._members[name] = self._members.get(name, frozenset()) | self._expand(tuple(map(str, members)))
        self._expanded.clear()

    def expand(self, values: list[Any]) -> frozenset[str]:
        """Put the members in the place of each `@group`, and fold names as those of programs are. Raises ConditionError."""
        key = tuple(map(str, values))
        if key not in self._expanded:
            self._expanded[key] = self._expand(key)
        return self._expanded[key]

    def _expand(self, values: tuple[str, ...]) -> frozenset[str]:
        names: set[str] = set()
        for value in values:
            if not value.startswith("@"):
                names.add(name_of(value))
            elif value[1:] in self._members:
                names |= self._members[value[1:]]
            else:
                msg = f"no group {value!r}; there are {', '.join('@' + g for g in sorted(self._members))}"
                raise ConditionError(msg)
        return frozenset(names)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, ready to be asked. `index_names` are the only command names it can match, None: any."""

    id: str
    category: Category
    confidence: float
    reason: str
    predicates: tuple[Predicate, ...]
    unless: tuple[tuple[Predicate, ...], ...]
    index_names: frozenset[str] | None
    index_paths: frozenset[str] | None
    source: str  # file:line
    must_match: tuple[Any, ...] = field(default=(), repr=False)
    must_not_match: tuple[Any, ...] = field(default=(), repr=False)

    def matches(self, facts: Facts) -> bool:
        """Tell whether all conditions hold and no exception does."""
        for predicate in self.predicates:
            if not predicate(facts):
                return False
        return not any(all(p(facts) for p in exception) for exception in self.unless)


class Conditions(NamedTuple):
    """The conditions of one `match` or `unless`, compiled."""

    predicates: tuple[Predicate, ...]
    index_names: frozenset[str] | None
    index_paths: frozenset[str] | None


# Cheap conditions first: most rules fail on their first one.
_COST = ("name", "program", "exe", "marks", "uid", "place", "unit", "starter", "parent", "ancestor")

# Says who a program is, and cannot be written by the program itself.
IDENTITY = frozenset({"program", "exe", "package", "section", "known", "unit", "place", "starter", "parent", "ancestor", "cgroup"})


def compiled(raw: dict[str, list[Any]], groups: Groups) -> Conditions:
    """Compile conditions whose keys are valid. Raises ConditionError, with its key, for a value that is not."""
    names = _checked("name", raw["name"], lambda v, g: g.expand(v), groups) if "name" in raw else None
    plain_paths: frozenset[str] | None = None
    predicates: list[Predicate] = []
    of_command = {key: _checked(key, raw[key], _searches, groups) for key in _OF_COMMAND if key in raw}
    if names is not None or of_command:
        predicates.append(_commands(names, of_command))
    for key in sorted(raw, key=lambda k: _COST.index(k) if k in _COST else len(_COST)):
        if key == "program" and all("*" not in str(v) and "?" not in str(v) for v in raw[key]):
            plain_paths = frozenset(map(str, raw[key]))
        if key in CONDITIONS:
            predicates.append(_checked(key, raw[key], CONDITIONS[key], groups))
    return Conditions(tuple(predicates), names, plain_paths)


# These speak of one and the same command of the command line, and are compiled together.
_OF_COMMAND = ("args", "args_all", "args_none")


def _checked(key: str, values: list[Any], make: Callable[[list[Any], Groups], _Made], groups: Groups) -> _Made:
    try:
        return make(values, groups)
    except ConditionError as error:
        error.key = key
        raise


def _searches(values: list[Any], groups: Groups) -> list[Search]:
    return [_search([v], groups) for v in values]


def _search(values: list[Any], groups: Groups) -> Search:
    texts = [str(v) for v in values]
    for text in () if groups.proven else texts:
        try:
            re.compile(text)
        except re.error as error:
            msg = f"{text!r} is not a regular expression: {error}"
            raise ConditionError(msg) from None
    return search_of(texts)


def _glob(values: list[Any]) -> Callable[[str], bool]:
    return glob_of([str(v) for v in values])


def _commands(names: frozenset[str] | None, searches: dict[str, list[Search]]) -> Predicate:
    any_of, all_of, none_of = (searches.get(key, []) for key in _OF_COMMAND)

    def holds(facts: Facts) -> bool:
        for command in facts.line.commands:
            if names is not None and command.name not in names:
                continue
            text = command.text
            if (not any_of or any(s(text) for s in any_of)) and all(s(text) for s in all_of) and not any(s(text) for s in none_of):
                return True
        return False

    return holds


def _path(attribute: str) -> Condition:
    def condition(values: list[Any], _groups: Groups) -> Predicate:
        match = _glob(values)
        return lambda facts: match(getattr(facts, attribute))

    return condition


def _program(values: list[Any], _groups: Groups) -> Predicate:
    match = _glob(values)
    return lambda facts: match(facts.target)


def _text(values: list[Any], groups: Groups) -> Predicate:
    search = _search(values, groups)
    return lambda facts: search(facts.text) is not None


def _text_all(values: list[Any], groups: Groups) -> Predicate:
    searches = _searches(values, groups)
    return lambda facts: all(s(facts.text) for s in searches)


def _contains(values: list[Any], _groups: Groups) -> Predicate:
    texts = tuple(map(str, values))
    return lambda facts: any(t in facts.text for t in texts)


def _code(values: list[Any], groups: Groups) -> Predicate:
    search = _search(values, groups)
    return lambda facts: search(facts.line.code) is not None


def _parent(values: list[Any], groups: Groups) -> Predicate:
    names = groups.expand(values)
    return lambda facts: bool(facts.parent_names) and facts.parent_names[0] in names


def _ancestor(values: list[Any], groups: Groups) -> Predicate:
    names = groups.expand(values)
    return lambda facts: not names.isdisjoint(facts.parent_names)


def _starter(values: list[Any], groups: Groups) -> Predicate:
    names = groups.expand(values)
    return lambda facts: facts.starter in names


def _target_name(values: list[Any], groups: Groups) -> Predicate:
    names = groups.expand(values)
    return lambda facts: facts.target_name in names


_FIRST_HUMAN_UID = 1000  # of Debian's login.defs
_UIDS: dict[str, Callable[[int], bool]] = {
    "root": lambda uid: uid == 0,
    "system": lambda uid: 0 < uid < _FIRST_HUMAN_UID,
    "human": lambda uid: uid >= _FIRST_HUMAN_UID,
}


def _uid(values: list[Any], _groups: Groups) -> Predicate:
    for value in values:
        if value not in _UIDS and not isinstance(value, int):
            msg = f"{value!r} is no uid; write a number, {', '.join(_UIDS)}"
            raise ConditionError(msg)
    numbers = frozenset(v for v in values if isinstance(v, int))
    tests = [_UIDS[v] for v in values if v in _UIDS]
    return lambda facts: facts.uid in numbers or any(t(facts.uid) for t in tests)


def _one_of(attribute: str, allowed: tuple[str, ...]) -> Condition:
    def condition(values: list[Any], _groups: Groups) -> Predicate:
        for value in values:
            if value not in allowed:
                msg = f"{value!r} is not one of {', '.join(allowed)}"
                raise ConditionError(msg)
        wanted = frozenset(values)
        return lambda facts: str(getattr(facts, attribute)) in wanted

    return condition


def _marks(values: list[Any], _groups: Groups) -> Predicate:
    names = [m.value for m in Mark]
    for value in values:
        if value not in names:
            msg = f"{value!r} is no mark; there are {', '.join(names)}"
            raise ConditionError(msg)
    wanted = frozenset(Mark(v) for v in values)
    return lambda facts: not wanted.isdisjoint(facts.marks)


def _flag(test: Callable[[Facts], bool]) -> Condition:
    def condition(values: list[Any], _groups: Groups) -> Predicate:
        if len(values) != 1 or not isinstance(values[0], bool):
            msg = "must be true or false"
            raise ConditionError(msg)
        wanted = values[0]
        return lambda facts: test(facts) is wanted

    return condition


def _of_program(attribute: str) -> Condition:
    def condition(values: list[Any], _groups: Groups) -> Predicate:
        match = _glob(values)
        return lambda facts: match(getattr(facts.program, attribute))

    return condition


def _package(values: list[Any], _groups: Groups) -> Predicate:
    match = _glob(values)
    return lambda facts: facts.package is not None and match(facts.package.name)


def _section(values: list[Any], _groups: Groups) -> Predicate:
    wanted = frozenset(map(str, values))
    return lambda facts: facts.package is not None and facts.package.section.rpartition("/")[2] in wanted


def _module(values: list[Any], _groups: Groups) -> Predicate:
    match = _glob(values)
    return lambda facts: match(facts.line.module)


def _parent_path(values: list[Any], _groups: Groups) -> Predicate:
    match = _glob(values)
    return lambda facts: any(map(match, facts.parents))


_STATES = tuple(s.value for s in PackageState)


def _package_state(values: list[Any], _groups: Groups) -> Predicate:
    for value in values:
        if value not in _STATES:
            msg = f"{value!r} is not one of {', '.join(_STATES)}"
            raise ConditionError(msg)
    wanted = frozenset(map(str, values))
    return lambda facts: facts.package is not None and facts.package.state.value in wanted


_PLACES = ("system_service", "user_service", "app", "terminal", "session", "container", "other")

CONDITIONS: dict[str, Condition] = {
    "program": _program,
    "program_name": _target_name,
    "exe": _path("exe"),
    "script": _path("script"),
    "module": _module,
    "code": _code,
    "text": _text,
    "text_all": _text_all,
    "contains": _contains,
    "parent": _parent,
    "ancestor": _ancestor,
    "starter": _starter,
    "parent_path": _parent_path,
    "uid": _uid,
    "cwd": _of_program("cwd"),
    "cgroup": _of_program("cgroup"),
    "unit": _path("unit"),
    "place": _one_of("place", _PLACES),
    "main_of_unit": _flag(lambda facts: facts.main_of_unit),
    "package": _package,
    "section": _section,
    "package_state": _package_state,
    "unowned": _flag(lambda facts: facts.evidence.unowned),
    "known": _one_of("known", tuple(c.value for c in Category)),
    "marks": _marks,
    "tty": _flag(lambda facts: bool(facts.evidence.tty)),
    "arguments": _flag(lambda facts: len(facts.argv) > 1),
    "connected": _flag(lambda facts: bool(facts.evidence.remote_stdio)),
    "told": _flag(lambda facts: facts.target_is_told),
}
KEYS = ("name", *_OF_COMMAND, *CONDITIONS)
