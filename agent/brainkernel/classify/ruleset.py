"""All rules of a host: which files, in which order, and the one answer they give.

Files come from the shipped directory and from the administrator's. They are sorted by name whichever directory they
lie in; a file of the administrator replaces the shipped one of the same name, and `disable: [id]` in any file turns
single rules off. A group of names holds for its own file and those after it.
"""

from __future__ import annotations

import shlex
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainkernel.classify import rulefile
from brainkernel.classify.facts import Facts
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.rules import Groups
from brainkernel.errors import ConfigError
from brainkernel.model import Category, Evidence, Mark, Package, Program, Tier, Unit, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from brainkernel.classify.rules import Rule

SHIPPED_RULES = Path(__file__).parent / "rules.d"
ADMIN_RULES = Path("/etc/brainkernel/rules.d")


class RuleSet:
    """Rules in their order, indexed by the names and paths they can match."""

    def __init__(self, ordered: Iterable[Rule], knowledge: Knowledge) -> None:
        self.rules = tuple(ordered)
        self.knowledge = knowledge
        self._suspicious = _Index(r for r in self.rules if r.category is Category.SUSPICIOUS)
        self._others = _Index(r for r in self.rules if r.category is not Category.SUSPICIOUS)

    def judge(self, program: Program, evidence: Evidence) -> Verdict | None:
        """Give the verdict of the rule that decides, else that of the package metadata, else None."""
        facts = Facts(program, evidence, self.knowledge)
        rule = self.deciding(facts)
        if rule is not None:
            return Verdict(category=rule.category, confidence=rule.confidence, tier=Tier.RULES, reason=rule.reason, rule=rule.id)
        return _by_metadata(facts)

    def deciding(self, facts: Facts) -> Rule | None:
        """Find the rule that decides: the surest suspicious one that matches, else the first other one."""
        suspicious = max(self._suspicious.matching(facts), key=lambda rule: rule.confidence, default=None)
        return suspicious if suspicious is not None else next(self._others.matching(facts), None)

    def check(self) -> list[str]:
        """Run the tests that the rules carry; return one line for each that fails. Needs rules loaded with their tests."""
        return list(chain.from_iterable(self._check(rule) for rule in self.rules))

    def _check(self, rule: Rule) -> Iterator[str]:
        for record, wanted in chain(((r, True) for r in rule.must_match), ((r, False) for r in rule.must_not_match)):
            facts = Facts(*record_of(record, rule.source), self.knowledge)
            if rule.matches(facts) is not wanted:
                yield f"{rule.source}: {rule.id}: {'must match' if wanted else 'must not match'}: {record}"
            elif wanted and (other := self._overridden(rule, facts)) is not None:
                yield f"{rule.source}: {rule.id}: matches, but {other.id} ({other.category}) decides: {record}"

    # The rule of the same directory that decides for another category. An administrator's rule may do so: that is its purpose.
    def _overridden(self, rule: Rule, facts: Facts) -> Rule | None:
        decided = self.deciding(facts)
        if decided is None or decided.category is rule.category or _directory_of(decided) != _directory_of(rule):
            return None
        return decided


def _directory_of(rule: Rule) -> str:
    return rule.source.rpartition("/")[0]


# Rules by the command names or exact paths they need; those that need neither are asked for every program.
class _Index:
    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_name: dict[str, list[tuple[int, Rule]]] = {}
        self._by_path: dict[str, list[tuple[int, Rule]]] = {}
        self._any: list[tuple[int, Rule]] = []
        for entry in enumerate(rules):
            _, rule = entry
            if rule.index_names is not None:
                for name in rule.index_names:
                    self._by_name.setdefault(name, []).append(entry)
            elif rule.index_paths is not None:
                for path in rule.index_paths:
                    self._by_path.setdefault(path, []).append(entry)
            else:
                self._any.append(entry)

    def matching(self, facts: Facts) -> Iterator[Rule]:
        """Yield the rules that match, in order."""
        candidates = list(self._any)
        if self._by_name:
            for name in facts.names:
                candidates += self._by_name.get(name, ())
        if self._by_path:
            candidates += self._by_path.get(facts.target, ())
        candidates.sort(key=_position)
        last = -1
        for position, rule in candidates:
            if position != last and rule.matches(facts):
                yield rule
            last = position


def _position(entry: tuple[int, Rule]) -> int:
    return entry[0]


def _by_metadata(facts: Facts) -> Verdict | None:
    category = facts.known
    if category is Category.UNKNOWN or facts.target_is_told:
        return None
    package = facts.package
    summary = f"{package.name} ({package.section}): {package.summary}" if package else facts.target
    return Verdict(
        category=category, confidence=facts.known_confidence, tier=Tier.RULES, reason=f"its package is {summary}", rule="package-metadata"
    )


def files_in(directories: Iterable[Path] = (SHIPPED_RULES, ADMIN_RULES)) -> dict[str, Path]:
    """The rule files that hold, by name and in their order."""
    by_name: dict[str, Path] = {}
    for directory in directories:
        by_name |= {path.name: path for path in directory.glob("*.yaml")}
    return dict(sorted(by_name.items()))


def load(
    directories: Iterable[Path] = (SHIPPED_RULES, ADMIN_RULES), knowledge: Knowledge | None = None, *, with_tests: bool = False
) -> RuleSet:
    """Read the rules of all directories, of which a later one's file replaces an earlier one's of the same name.

    A directory that is absent has no rules. Raises ConfigError with file, line and key.
    """
    groups = Groups()
    found: dict[str, Rule] = {}
    disable: list[tuple[str, str]] = []
    for path in files_in(directories).values():  # one after the other: a file's parsed YAML is many times larger than its rules
        groups.proven = path.parent == SHIPPED_RULES
        file = rulefile.read(path, groups)
        disable += file.disable
        for node in file.nodes:
            rule = rulefile.rule_of(node, file.file, groups, with_tests=with_tests)
            if rule.id in found:
                msg = f"{rule.source}: {rule.id}: there is such a rule already at {found[rule.id].source}"
                raise ConfigError(msg)
            found[rule.id] = rule
    for rule_id, where in disable:
        if found.pop(rule_id, None) is None:
            msg = f"{where}: {rule_id}: no such rule"
            raise ConfigError(msg)
    return RuleSet(found.values(), knowledge if knowledge is not None else Knowledge())


_RECORD_KEYS = frozenset(
    {
        "run",
        "exe",
        "argv",
        "comm",
        "parents",
        "uid",
        "cwd",
        "cgroup",
        "package",
        "unit",
        "tty",
        "script",
        "marks",
        "container",
        "unowned",
        "remote_stdio",
    }
)
_SSH_SHELL = ("/usr/bin/bash", "/usr/sbin/sshd", "/usr/sbin/sshd", "/usr/lib/systemd/systemd")


def record_of(record: Any, where: str) -> tuple[Program, Evidence]:
    """Make the example of a rule's test: a command line as one types it in a login shell, or a mapping that says more.

    `run` is that command line; exe, argv, parents, uid, cwd, cgroup, package, unit, tty, script, marks, container and
    unowned say the rest. Raises ConfigError.
    """
    given: dict[str, Any] = {"run": record} if isinstance(record, str) else dict(record) if isinstance(record, dict) else {}
    if not given or (wrong := set(given) - _RECORD_KEYS):
        keys = f"unknown keys {sorted(wrong)}" if given else f"{record!r} is no example"
        msg = f"{where}: test: {keys}; write a command line or a mapping of {', '.join(sorted(_RECORD_KEYS))}"
        raise ConfigError(msg)
    try:
        argv = tuple(map(str, given.get("argv") or shlex.split(given.get("run", ""))))
    except ValueError as error:
        msg = f"{where}: test: {error}: {record}"
        raise ConfigError(msg) from None
    first = argv[0] if argv else ""
    exe = str(given.get("exe") or (first if first.startswith("/") else f"/usr/bin/{first.lstrip('-')}"))
    unit, package = given.get("unit"), given.get("package")
    session = "" if "parents" in given else "/user.slice/user-1000.slice/session-3.scope"
    program = Program(
        exe=exe,
        argv=argv,
        comm=str(given.get("comm", exe.rpartition("/")[2]))[:15],
        parents=tuple(given.get("parents", ("/usr/lib/systemd/systemd",) if unit else _SSH_SHELL)),
        uid=int(given.get("uid", 0 if unit else 1000)),
        cwd=str(given.get("cwd", "/" if unit else "/home/alice")),
        cgroup=str(given.get("cgroup", f"/system.slice/{unit}" if unit else session)),
    )
    evidence = Evidence(
        package=Package(name=package) if package else None,
        unit=Unit(name=unit) if unit else None,
        tty=str(given.get("tty", "")),
        script=str(given.get("script", "")),
        container=str(given.get("container", "")),
        remote_stdio=str(given.get("remote_stdio", "")),
        unowned=bool(given.get("unowned", False)),
        marks=frozenset(Mark(m) for m in given.get("marks", ())),
    )
    return program, evidence
