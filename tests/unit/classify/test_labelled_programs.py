"""The whole judgement on labelled programs: the figures that must not fall."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import pytest
from brainkernel.classify.ruleset import SHIPPED_RULES, load
from brainkernel.classify.tiers import RulesTier
from support.labelled import Figures, figures_of

GOLDEN = Path(__file__).parents[2] / "golden" / "programs_labelled.jsonl"
FIRST_SIGHT = GOLDEN.with_name("programs_first_sight.jsonl.gz")  # the README's "Measured" has what came out when it was new
COMMANDS_FIRST_SIGHT = GOLDEN.with_name("commands_first_sight.jsonl.gz")
INDEPENDENT = GOLDEN.with_name("independent.jsonl.gz")  # by two authors who never saw the rules nor any of these figures
SAMPLES = Path("/work/shared/samples")


@cache
def rules() -> RulesTier:
    """The shipped rules, loaded once."""
    return RulesTier(load((SHIPPED_RULES,)))


@cache
def golden() -> Figures:
    """What comes out on our own labelled set."""
    return figures_of(GOLDEN.read_bytes().splitlines(), [rules()])


@pytest.mark.parametrize(
    ("file", "answered_min", "found_min"), [(FIRST_SIGHT, 0.95, 0.88), (INDEPENDENT, 0.9, 0.86)], ids=["own", "strangers'"]
)
def test_sets_that_were_once_new_do_not_get_worse(file: Path, answered_min: float, found_min: float) -> None:
    """Composed after the rules or without having read them, and judged once before these were touched again: 2,348 and 1,240 programs."""
    figures = figures_of(gzip.decompress(file.read_bytes()).splitlines(), [rules()])
    answered = figures.right + len(figures.wrong)

    assert figures.harmed == []
    assert figures.right >= 0.97 * answered, figures.wrong
    assert answered >= answered_min * (answered + figures.unanswered)
    assert figures.found >= found_min * (figures.found + len(figures.missed)), figures.missed
    assert len(figures.false_alarms) <= 0.005 * figures.harmless, figures.false_alarms


def test_command_lines_that_were_once_new_do_not_get_worse() -> None:
    """What administrators, builds, jobs and containers run, and attacks by technique: 1,116 lines, composed before their author mended the rules."""
    figures = figures_of(gzip.decompress(COMMANDS_FIRST_SIGHT.read_bytes()).splitlines(), [rules()])

    assert figures.found >= 0.94 * (figures.found + len(figures.missed)), figures.missed
    assert len(figures.false_alarms) <= 0.006 * figures.harmless, figures.false_alarms


def test_programs_are_named_rightly_where_an_answer_is_given() -> None:
    """95 % right of what is answered, 80 % answered; abstaining is allowed, guessing is not."""
    figures = golden()
    answered = figures.right + len(figures.wrong)

    assert figures.right >= 0.97 * answered, figures.wrong
    assert answered >= 0.9 * (answered + figures.unanswered)


def test_protected_programs_are_not_called_what_is_slowed() -> None:
    """A database or a desktop that is called background would be throttled."""
    assert golden().harmed == []


def test_attacks_are_found_without_an_llm() -> None:
    """70 % of attack command lines; the rest is for the model and the LLM."""
    figures = golden()

    assert figures.found >= 0.9 * (figures.found + len(figures.missed)), figures.missed


def test_harmless_commands_are_not_called_suspicious() -> None:
    """At most one in a hundred, also of those that look like attacks."""
    assert golden().false_alarms == []


@pytest.mark.parametrize("name", ["processes_labelled", "attacks", "benign_commands", "injection", "lineage", "secrets"])
def test_shared_samples_do_not_get_worse(name: str) -> None:
    """The samples that the form of the records was learned from."""
    file = SAMPLES / f"{name}.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"{file} is only on the build machine")

    figures = figures_of(gzip.decompress(file.read_bytes()).splitlines(), [rules()])

    assert figures.harmed == []
    assert figures.false_alarms == []
    assert len(figures.missed) <= 2, figures.missed
    assert len(figures.wrong) <= (2 if name == "lineage" else 0), figures.wrong
