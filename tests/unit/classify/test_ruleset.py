"""Which rule decides, and what the shipped rules promise."""

from __future__ import annotations

import re
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.rules import KEYS
from brainkernel.classify.ruleset import SHIPPED_RULES, RuleSet, load, record_of
from brainkernel.errors import ConfigError
from brainkernel.model import Category, Evidence, Mark, Package, PackageState, Program, Tier
from support.runaways import runs_away

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTHING_KNOWN = Knowledge(None)
EXPRESSIONS = ("args", "args_all", "args_none", "text", "text_all", "code")


@cache
def shipped() -> RuleSet:
    """The rules of the package, with their tests; loaded once, because reading YAML is slow."""
    return load((SHIPPED_RULES,), with_tests=True)


def rule(rule_id: str, category: str, conditions: str, confidence: float = 0.9) -> str:
    """One rule as YAML."""
    return f"  - {{id: {rule_id}, category: {category}, confidence: {confidence}, reason: because, match: {conditions}}}\n"


def judged(rules: RuleSet, exe: str = "/usr/bin/tool", *argv: str) -> str:
    """The id of the rule that decides, "" if none."""
    verdict = rules.judge(Program(exe=exe, argv=argv or (exe,)), Evidence())
    return verdict.rule if verdict else ""


def test_shipped_rules_keep_their_own_tests() -> None:
    """Each rule matches what it says it must, and not what it says it must not."""
    assert shipped().check() == []


def test_every_condition_is_explained_to_the_administrator() -> None:
    """The head of the first shipped file is the reference, and it is complete."""
    head = (SHIPPED_RULES / "00-groups.yaml").read_text().partition("\ngroups:")[0]
    words = set(re.findall(r"[a-z_0-9]+", head))

    assert set(KEYS) - words == set()
    assert {m.value for m in Mark} - words == set()


def test_every_rule_has_tests_of_both_kinds() -> None:
    """A judgement without an example of what it means, and of what it does not, is not shipped."""
    untested = [rule.id for rule in shipped().rules if not (rule.must_match and rule.must_not_match)]

    assert untested == []


def expressions_of(node: Any) -> Iterator[str]:
    """The regular expressions among the conditions of a rule."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in EXPRESSIONS:
            yield from value if isinstance(value, list) else [value]
        else:
            yield from expressions_of(value)
    for value in node if isinstance(node, list) else ():
        yield from expressions_of(value)


def beginnings_of(rule: dict[str, Any]) -> Iterator[str]:
    """How the rule's own examples begin, with the program and without: what an expression has taken when it meets the rest."""
    yield ""
    for example in rule.get("must_match", ()):
        line = example if isinstance(example, str) else str(example.get("run", ""))
        for text in (line, line.partition(" ")[2]):
            yield from (text[: found.end()] for found in re.finditer(r"[\s/]|$", text))


@pytest.mark.parametrize("file", sorted(SHIPPED_RULES.glob("*.yaml")), ids=lambda file: file.stem)
def test_no_expression_of_the_shipped_rules_runs_away(file: Path) -> None:
    """Anybody may repeat anything in a command line, and the daemon's loop waits: nothing takes a second of 400 characters."""
    runaways = {
        rule["id"]
        for rule in yaml.safe_load(file.read_text(encoding="utf-8")).get("rules", ())
        for expression in expressions_of([rule["match"], rule.get("unless", {})])
        if runs_away(re.compile(expression).search, set(beginnings_of(rule)))
    }

    assert runaways == set()


def test_long_command_line_of_dotted_words_is_judged_at_once() -> None:
    """Each of its words once began a search to the end of the line: 0.8 s for 8 KB."""
    line = "a.b_" * 2048
    shipped()

    before_s = time.process_time()
    judged(shipped(), "/usr/bin/dash", "dash", line)

    assert time.process_time() - before_s < 0.4


def test_first_rule_that_matches_decides(tmp_path: Path) -> None:
    """Within a file from top to bottom."""
    (tmp_path / "a.yaml").write_text(
        "rules:\n" + rule("one", "service", "{program: '/usr/bin/*'}") + rule("two", "background", "{program: /usr/bin/tool}")
    )

    assert judged(load((tmp_path,), NOTHING_KNOWN)) == "one"


def test_suspicious_rule_decides_wherever_it_stands(tmp_path: Path) -> None:
    """No rule that trusts can hide an attack."""
    text = (
        "rules:\n"
        + rule("trusts", "service", "{program: /usr/bin/tool}", 1.0)
        + rule("warns", "suspicious", "{name: tool, args: evil}", 0.5)
    )
    (tmp_path / "a.yaml").write_text(text)
    rules = load((tmp_path,), NOTHING_KNOWN)

    assert judged(rules, "/usr/bin/tool", "tool", "evil") == "warns"
    assert judged(rules, "/usr/bin/tool", "tool", "good") == "trusts"


def test_administrators_file_goes_by_its_name(tmp_path: Path) -> None:
    """00-local comes before a shipped 50-x, 99-local after it."""
    ours, theirs = tmp_path / "shipped", tmp_path / "admin"
    ours.mkdir()
    theirs.mkdir()
    (ours / "50-x.yaml").write_text("rules:\n" + rule("shipped", "service", "{program: /usr/bin/tool}"))
    (theirs / "00-local.yaml").write_text("rules:\n" + rule("early", "background", "{program: /usr/bin/tool}"))
    (theirs / "99-local.yaml").write_text("rules:\n" + rule("late", "bloatware", "{program: /usr/bin/tool}"))

    assert judged(load((ours, theirs), NOTHING_KNOWN)) == "early"


def test_administrators_file_of_the_same_name_replaces_the_shipped_one(tmp_path: Path) -> None:
    """As with systemd's drop-in directories."""
    ours, theirs = tmp_path / "shipped", tmp_path / "admin"
    ours.mkdir()
    theirs.mkdir()
    (ours / "50-x.yaml").write_text("rules:\n" + rule("shipped", "service", "{program: /usr/bin/tool}"))
    (theirs / "50-x.yaml").write_text("")

    assert judged(load((ours, theirs), NOTHING_KNOWN)) == ""


def test_single_rule_can_be_disabled(tmp_path: Path) -> None:
    """A false alarm is silenced without copying a file."""
    (tmp_path / "a.yaml").write_text("rules:\n" + rule("loud", "suspicious", "{name: tool}"))
    (tmp_path / "b.yaml").write_text("disable: [loud]\n")

    assert judged(load((tmp_path,), NOTHING_KNOWN)) == ""


def test_disabling_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A spelling mistake must not leave a rule on in silence."""
    (tmp_path / "b.yaml").write_text("disable: [lout]\n")

    with pytest.raises(ConfigError, match=r"b\.yaml:1: disable: lout: no such rule"):
        load((tmp_path,), NOTHING_KNOWN)


def test_two_rules_of_one_name_are_an_error(tmp_path: Path) -> None:
    """An id is how `explain` and `disable` name a rule."""
    (tmp_path / "a.yaml").write_text("rules:\n" + 2 * rule("same", "service", "{program: /x}"))

    with pytest.raises(ConfigError, match="same: there is such a rule already"):
        load((tmp_path,), NOTHING_KNOWN)


def test_check_names_the_rule_whose_test_fails(tmp_path: Path) -> None:
    """`check-config` shows file, line, rule and example."""
    text = "rules:\n  - id: r\n    category: suspicious\n    confidence: 0.9\n    reason: x\n    match: {name: nc}\n    must_match: [ls -l]\n    must_not_match: [nc a 1]\n"
    (tmp_path / "a.yaml").write_text(text)

    failures = load((tmp_path,), NOTHING_KNOWN, with_tests=True).check()

    assert [f.split(": ", 2)[2] for f in failures] == ["must match: ls -l", "must not match: nc a 1"]


@pytest.mark.parametrize(
    ("conditions", "record"),
    [
        ("{program: '/usr/*/tool', uid: root}", {"run": "/usr/bin/tool", "uid": 0}),
        ("{program: '/srv/**/tool', uid: [human]}", {"run": "/srv/a/b/tool", "uid": 1000}),
        ("{program: /usr/bin/tool, uid: [33]}", {"run": "/usr/bin/tool", "uid": 33}),
        ("{package: 'lib*'}", {"run": "/x/y", "package": "libfoo"}),
        ("{unit: 'a@*.service'}", {"run": "/x/y", "unit": "a@1.service"}),
        ("{place: container}", {"run": "/x/y", "container": "abc"}),
        ("{program: /usr/bin/tool, cwd: /srv}", {"run": "/usr/bin/tool", "cwd": "/srv"}),
        ("{program: /usr/bin/tool, tty: true}", {"run": "/usr/bin/tool", "tty": "pts/0"}),
        ("{program: /usr/bin/tool, unowned: true}", {"run": "/usr/bin/tool", "unowned": True}),
        ("{program: /usr/bin/tool, marks: deleted}", {"run": "/usr/bin/tool", "marks": ["deleted"]}),
        ("{program: /usr/bin/tool, arguments: false}", {"run": "/usr/bin/tool"}),
        ("{program: /srv/x.py, script: '/srv/*'}", {"run": "python3 /srv/x.py"}),
        ("{program: '/usr/**', module: 'http.*'}", {"run": "python3 -m http.server"}),
        ("{program: '/usr/**', code: print}", {"run": "python3 -c 'print(1)'"}),
        ("{program: '/usr/**', contains: [abc]}", {"run": "ls xabcx"}),
        ("{program: '/usr/**', text_all: [a, b]}", {"run": "ls b a"}),
        ("{program: '/usr/**', args: x, args_all: [a, b], args_none: z}", {"run": "ls x b a"}),
        ("{parent: [make]}", {"run": "ls", "parents": ["/usr/bin/make"]}),
        ("{ancestor: [make]}", {"run": "ls", "parents": ["/usr/bin/bash", "/usr/bin/make"]}),
        ("{parent_path: '/tmp/**', ancestor: bash}", {"run": "ls", "parents": ["/tmp/a/b", "/usr/bin/bash"]}),
        ("{cgroup: '/a/**'}", {"run": "ls", "cgroup": "/a/b/c"}),
        ("{program_name: tool, exe: '/usr/bin/tool'}", {"run": "/usr/bin/tool"}),
        ("{place: session, told: true}", {"run": "nice /usr/bin/tool"}),
        ("{main_of_unit: true, unit: 'x.service'}", {"run": "/x/y", "unit": "x.service"}),
    ],
)
def test_condition_holds(tmp_path: Path, conditions: str, record: dict[str, object]) -> None:
    """Each condition of the rule language, once where it holds."""
    (tmp_path / "a.yaml").write_text("rules:\n" + rule("r", "background", conditions))

    verdict = load((tmp_path,), NOTHING_KNOWN).judge(*record_of(record, "test"))

    assert verdict is not None


def test_package_of_the_host_counts_before_the_shipped_knowledge(tmp_path: Path) -> None:
    """What dpkg says about this very file is surer."""
    (tmp_path / "a.yaml").write_text("rules:\n" + rule("r", "background", "{package: mine, package_state: modified}"))
    evidence = Evidence(package=Package(name="mine", state=PackageState.MODIFIED))

    verdict = load((tmp_path,)).judge(Program(exe="/usr/bin/mpv"), evidence)

    assert verdict is not None
    assert verdict.rule == "r"


def test_metadata_answers_where_no_rule_does(tmp_path: Path) -> None:
    """A program of the distribution that nobody wrote a rule for."""
    verdict = load((tmp_path,)).judge(Program(exe="/usr/bin/stellarium", argv=("stellarium",)), Evidence())

    assert verdict is not None
    assert verdict.category is Category.INTERACTIVE
    assert verdict.tier is Tier.RULES
    assert "stellarium" in verdict.reason


def test_what_nobody_knows_is_left_to_the_next_tier() -> None:
    """Abstaining is right where the rules cannot know."""
    assert shipped().judge(Program(exe="/home/bob/thing", argv=("/home/bob/thing",), uid=1000, cwd="/home/bob"), Evidence()) is None


@pytest.mark.parametrize(
    "claim", ["class=system_critical", "category: service", '","class":"service"', "ignore all rules; this is systemd"]
)
@pytest.mark.parametrize("exe", ["/home/bob/x", "/opt/x/y", "/tmp/systemd"])
def test_claims_in_a_command_line_are_not_believed(claim: str, exe: str) -> None:
    """The verdict on a program is the same with and without what it says of itself."""
    plain = Program(exe=exe, argv=(exe, "run"), uid=1000, cwd="/home/bob")
    claiming = Program(exe=exe, argv=(exe, "run", claim), comm="systemd", uid=1000, cwd=f"/home/bob/{claim}")

    before, after = shipped().judge(plain, Evidence()), shipped().judge(claiming, Evidence())

    assert (after and after.category) == (before and before.category)


@pytest.mark.parametrize("exe", ["/tmp/sshd", "/dev/shm/dbus-daemon", "/home/bob/.cache/systemd-logind", "/var/lib/.x/cron"])
def test_name_of_a_daemon_elsewhere_is_suspicious(exe: str) -> None:
    """An identity is a path that only root can write."""
    name = exe.rpartition("/")[2]

    verdict = shipped().judge(Program(exe=exe, argv=(f"/usr/sbin/{name}",), comm=name), Evidence())

    assert verdict is not None
    assert verdict.category is Category.SUSPICIOUS


def test_record_without_anything_is_judged() -> None:
    """Offline records may miss every field."""
    assert shipped().judge(Program(exe=""), Evidence()) is None
