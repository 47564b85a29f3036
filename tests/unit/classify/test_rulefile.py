"""Rule files that are wrong, and what the administrator is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.classify import rulefile, rules
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.ruleset import SHIPPED_RULES, load
from brainkernel.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

NOTHING_KNOWN = Knowledge(None)
GOOD = """
groups:
  editors: [vim, nano]
rules:
  - id: a-rule
    category: background
    confidence: 0.9
    reason: it is so
    match:
      program: /usr/bin/tool
"""


def message(directory: Path, text: str) -> str:
    """What loading a directory with this one file says."""
    (directory / "10-mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load((directory,), NOTHING_KNOWN, with_tests=True)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("    category: background", "    categorie: background", 6, "did you mean 'category'?"),
        ("background", "backgroud", 6, "did you mean 'background'?"),
        ("0.9", "1.5", 7, "above 0 and up to 1"),
        ("0.9", "sure", 7, "above 0 and up to 1"),
        ("      program: /usr/bin/tool", "      progam: /usr/bin/tool", 10, "did you mean 'program'?"),
        ("      program: /usr/bin/tool", "      program: []", 10, "matches nothing"),
        ("      program: /usr/bin/tool", "      program: {a: b}", 10, "must be one value"),
        ("      program: /usr/bin/tool", "      parent: '@editor'", 10, "@editors"),
        ("      program: /usr/bin/tool", "      place: somewhere", 10, "system_service"),
        ("      program: /usr/bin/tool", "      marks: odd\n      program: /x", 10, "world_writable_dir"),
        ("      program: /usr/bin/tool", "      uid: bob\n      program: /x", 10, "human"),
        ("      program: /usr/bin/tool", "      tty: 3\n      program: /x", 10, "true or false"),
        ("      program: /usr/bin/tool", "      text: '(unclosed'\n      program: /x", 10, "regular expression"),
        ("      program: /usr/bin/tool", "      args: '*'\n      program: /x", 10, "regular expression"),
        ("    reason: it is so\n", "", 5, "'reason' is missing"),
        ("rules:", "ruls:", 4, "did you mean 'rules'?"),
        ("rules:", "rules:\n  - 3", 5, "must be a mapping"),
        ("    confidence: 0.9", "    confidence: 0.9\n    confidence: 0.8", 8, "set twice"),
        ("groups:", "groups: [", 4, "not YAML"),
    ],
)
def test_mistake_is_named_with_file_line_and_remedy(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    """One line says which file, which line, which key, and what would be right."""
    said_now = message(tmp_path, GOOD.replace(old, new, 1))

    assert said_now.startswith(f"{tmp_path / '10-mine.yaml'}:{line}: ")
    assert said in said_now
    assert "\n" not in said_now


def test_rule_that_trusts_must_not_rest_on_what_a_program_says_of_itself(tmp_path: Path) -> None:
    """A command line can contain any word; only suspicion may rest on it."""
    said = message(tmp_path, GOOD.replace("program: /usr/bin/tool", "text: class=service"))

    assert "can claim to be anything" in said


def test_rule_without_a_condition_is_refused(tmp_path: Path) -> None:
    """A rule for everything is a mistake."""
    assert "would match everything" in message(tmp_path, GOOD.replace("\n      program: /usr/bin/tool", " {}"))


@pytest.mark.parametrize(("test", "said"), [("3", "no example"), ("{rum: x}", "unknown keys ['rum']"), ("'a \"b'", "No closing quotation")])
def test_mistake_in_a_test_names_the_rule(tmp_path: Path, test: str, said: str) -> None:
    """The tests of a rule are checked like the rule."""
    (tmp_path / "10-mine.yaml").write_text(f"{GOOD}    must_match: [{test}]\n")
    rules = load((tmp_path,), NOTHING_KNOWN, with_tests=True)

    with pytest.raises(ConfigError) as caught:
        rules.check()

    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / '10-mine.yaml'}:5: ")


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are no rules."""
    (tmp_path / "x.yaml").write_bytes(b"rules: \xff\xfe")

    with pytest.raises(ConfigError, match=r"x\.yaml"):
        load((tmp_path,), NOTHING_KNOWN)


def test_empty_file_has_no_rules(tmp_path: Path) -> None:
    """This is how an administrator turns a whole shipped file off."""
    (tmp_path / "x.yaml").write_text("# nothing\n")

    assert load((tmp_path,), NOTHING_KNOWN).rules == ()


def test_expressions_of_shipped_rules_are_valid_though_they_are_not_compiled_at_start() -> None:
    """They are compiled when first needed: a wrong one would only be found on somebody's host."""
    groups = rules.Groups()

    for path in sorted(SHIPPED_RULES.glob("*.yaml")):
        file = rulefile.read(path, groups)
        for node in file.nodes:
            assert rulefile.rule_of(node, path, groups, with_tests=False).id
