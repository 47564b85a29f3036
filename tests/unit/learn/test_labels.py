"""What people wrote down beforehand about programs, as a source of truth for the figures of quality."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from brainkernel.config import Config, Quality
from brainkernel.errors import ConfigError
from brainkernel.learn.labels import AGAIN_NS, Labels, labels_of, read_labels
from brainkernel.learn.quality import Evaluator, Measure
from brainkernel.model import Category, Decision, DecisionKind, ExamResult, Judgement, JudgementSource, Limit, Refusal
from hypothesis import given
from hypothesis import strategies as st
from support.nouns import a_suspect, a_verdict
from support.stores import a_decision

if TYPE_CHECKING:
    from pathlib import Path

POLICY = Config().policy
NOON_NS = 1_795_000_000_000_000_000


def labelled(exe: str = "/usr/bin/tool", label: str = "service", **more: object) -> Labels:
    return labels_of([json.dumps({"exe": exe, "expected": label, **more})], "labels.jsonl")


def judged(labels: Labels, kind: DecisionKind, category: Category, *rules: str) -> Judgement | None:
    decision = a_decision(
        kind=kind,
        verdict=a_verdict(category=category),
        limit=Limit(cpu_weight=20) if kind is DecisionKind.LIMIT else None,
        refusals=tuple(Refusal(rule=rule, reason="no") for rule in rules),
    )
    return labels.judgement(decision, POLICY, NOON_NS)


@pytest.mark.parametrize(
    ("label", "kind", "category", "rules", "right"),
    [
        ("service", DecisionKind.LIMIT, Category.BACKGROUND, (), (False, False)),
        ("background", DecisionKind.LIMIT, Category.BACKGROUND, (), (True, True)),
        ("background", DecisionKind.LEAVE, Category.SERVICE, (), (False, False)),
        ("interactive", DecisionKind.LEAVE, Category.UNKNOWN, (), (None, True)),
        ("background", DecisionKind.REFUSED, Category.BACKGROUND, ("confidence",), (True, False)),
        ("background", DecisionKind.REFUSED, Category.BACKGROUND, ("owns_terminal",), (True, None)),
        ("service", DecisionKind.NOTE, Category.SERVICE, (), (True, None)),
    ],
    ids=["wrong limit", "right limit", "missed", "rightly left", "too cautious", "safety forbade", "nobody hurt"],
)
def test_label_says_whether_category_and_act_were_right(
    label: str, kind: DecisionKind, category: Category, rules: tuple[str, ...], right: tuple[bool | None, bool | None]
) -> None:
    """A wrong limit is a false positive, a limit that should have been a false negative; safety's word is not judged."""
    judgement = judged(labelled(label=label), kind, category, *rules)

    assert judgement is not None
    assert (judgement.category_right, judgement.act_right) == right
    assert judgement.source is JudgementSource.LABELS


def test_label_speaks_once_a_day_of_one_program() -> None:
    """A program in a loop must not outvote the people who spoke of others."""
    labels = labelled()
    words = [labels.judgement(a_decision(number), POLICY, NOON_NS + number) for number in range(100)]
    tomorrow = labels.judgement(a_decision(200), POLICY, NOON_NS + AGAIN_NS)

    assert sum(word is not None for word in words) == 1
    assert tomorrow is not None


def test_label_with_arguments_goes_before_one_without() -> None:
    """The same program in two uses is two things."""
    labels = labels_of(
        [
            '{"exe": "/usr/bin/python3", "expected": "development"}',
            '{"exe": "/usr/bin/python3", "argv": ["python3", "/srv/app.py"], "expected": "service"}',
        ],
        "labels.jsonl",
    )
    app = a_suspect("/usr/bin/python3", argv=("python3", "/srv/app.py")).program
    other = a_suspect("/usr/bin/python3", argv=("python3", "x.py")).program

    assert (labels.of(app), labels.of(other), labels.of(a_suspect("/bin/ls").program)) == (Category.SERVICE, Category.DEVELOPMENT, None)


@pytest.mark.parametrize(
    "line", ["{", "[]", '"x"', "{}", '{"exe": 1, "expected": "service"}', '{"exe": "/x", "expected": "fast"}', '{"exe": "/x", "argv": "x", "expected": "service"}']
)  # fmt: skip
def test_line_that_is_no_label_is_named(line: str) -> None:
    """With file and line, and what a label looks like."""
    with pytest.raises(ConfigError, match=r"^labels.jsonl:2: no label; write"):
        labels_of(["\n", line], "labels.jsonl")


@given(st.lists(st.text(max_size=200), max_size=5))
def test_labels_file_of_anything_is_labels_or_a_configuration_error(lines: list[str]) -> None:
    """Whatever stands in the file."""
    try:
        labels = labels_of(lines, "labels.jsonl")
    except ConfigError:
        return
    assert labels.of(a_suspect("/usr/bin/tool").program) is None


def test_labels_file_that_is_gone_is_a_configuration_error(tmp_path: Path) -> None:
    """It names the setting."""
    with pytest.raises(ConfigError, match=r"quality\.labels_file"):
        read_labels(tmp_path / "none.jsonl")


def test_rates_come_to_the_truth_of_the_labels() -> None:
    """200 limits of which 30 hit services: a false positive rate whose interval holds 15 %."""
    labels = labels_of([f'{{"exe": "/x/{n}", "expected": "{"service" if n < 30 else "background"}"}}' for n in range(200)], "l")
    evaluator = Evaluator(Quality(labels_weight=1.0))
    for number in range(200):
        decision: Decision = a_decision(number, f"/x/{number}", kind=DecisionKind.LIMIT, verdict=a_verdict(category=Category.BACKGROUND))
        word = labels.judgement(decision, POLICY, NOON_NS)
        assert word is not None
        evaluator.add(word)

    rate = next(r for r in evaluator.rates(NOON_NS) if r.measure is Measure.FALSE_POSITIVE and r.window == "24h")

    assert rate.value == pytest.approx(0.15)
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < 0.15 < rate.high


def test_exam_counts_for_what_it_weighs_and_only_the_last_one() -> None:
    """244 questions at 5 % weight are a dozen samples; a new exam takes the place of the old one."""
    evaluator = Evaluator(Quality())

    def sat(accuracy: float) -> None:
        evaluator.examined(
            ExamResult(
                backend="ollama", model="m", prompt_version="1", time_ns=NOON_NS, passed=True, asked=300, measures={"answered": 1.0, "accuracy": accuracy}
            )
        )  # fmt: skip

    sat(0.2)
    sat(0.9)
    rates = {r.measure: r for r in evaluator.rates(NOON_NS) if r.window == "24h"}

    assert rates[Measure.CORRECT_CLASSIFICATION].samples == pytest.approx(15)
    assert rates[Measure.CORRECT_CLASSIFICATION].value == pytest.approx(0.9)
    assert rates[Measure.FALSE_POSITIVE].samples == 0


@pytest.mark.parametrize(
    ("programs", "says"),
    [(1_000_000, ":10001: at most 10000 labels"), (10, ":100001: at most 100000 lines"), (0, ":100001: at most 100000 lines")],
)
def test_a_million_lines_are_refused_with_the_line_from_which_on(tmp_path: Path, programs: int, says: str) -> None:
    """Of as many programs, of a few again and again, or empty: nobody waits until all are read, and nothing is kept of them."""
    file = tmp_path / "labels.jsonl"
    with file.open("w") as lines:
        for number in range(1_000_000):
            lines.write(f'{{"exe": "/opt/{number % programs}", "expected": "service"}}\n' if programs else "\n")

    with pytest.raises(ConfigError) as error:
        read_labels(file)

    assert f"{file}{says}" in str(error.value)


def test_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    """Also where all of it is one line."""
    file = tmp_path / "labels.jsonl"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)

    with pytest.raises(ConfigError, match="larger than 64 MiB"):
        read_labels(file)
