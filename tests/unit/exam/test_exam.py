"""The exam's questions, marks and criteria."""

from __future__ import annotations

from pathlib import Path

import pytest
from brainkernel.classify.model import LocalModel
from brainkernel.clock import SimulatedClock
from brainkernel.config import Llm
from brainkernel.errors import BrainKernelError
from brainkernel.exam.examining import examine, with_model
from brainkernel.exam.marking import CRITERIA, PROTECTED, SLOWED, Marks, marked
from brainkernel.exam.paper import SHIPPED_FILE, Paper, Task, read_paper, spread
from brainkernel.exam.sitting import Answers
from brainkernel.gateway.llm.prompt import PROMPT_VERSION
from brainkernel.model import Category, Tier, Verdict
from support.held_out import is_held_out

ROOT = Path(__file__).parents[3]


def said(category: Category) -> Verdict:
    """An LLM's verdict."""
    return Verdict(category=category, confidence=0.9, tier=Tier.LLM, reason="because")


def right_answers(paper: Paper) -> list[Verdict | None]:
    """What one says who knows everything; of the harmless ones without a category, that they are of development."""
    return [said(task.expected or Category.DEVELOPMENT) for task in paper.tasks]


def marks_of(paper: Paper, verdicts: list[Verdict | None]) -> Marks:
    """Marks for the whole paper."""
    return marked(paper.tasks, verdicts)


def test_paper_has_all_categories_attacks_and_injections() -> None:
    """At least 200 processes, of all eight categories, with harmless ones that look like attacks and orders in strings."""
    tasks = read_paper().tasks
    expected = [task.expected for task in tasks]

    assert len(tasks) >= 200
    assert set(Category) <= set(expected)
    assert all(expected.count(category) >= 5 for category in Category)
    assert expected.count(Category.SUSPICIOUS) >= 40
    assert expected.count(None) >= 20
    assert len([task for task in tasks if task.injection_wants]) >= 8
    assert len({task.id for task in tasks}) == len(tasks)


def test_paper_holds_nothing_that_the_local_model_was_trained_on() -> None:
    """A record of our labelled set is in the exam only if training leaves it out; no training reads the exam's file."""
    shared = [task.id for task in read_paper().tasks if not task.id.startswith("own-")]

    assert len(shared) > 100
    assert all(is_held_out({"id": identifier}) for identifier in shared)
    assert not [f for f in (ROOT / "scripts").rglob("*.py") if SHIPPED_FILE.name in f.read_text()]


def test_who_knows_everything_passes() -> None:
    """The criteria can be met."""
    paper = read_paper()

    marks = marks_of(paper, right_answers(paper))

    assert marks.failures == ()
    assert marks.measures["accuracy"] == marks.measures["attack_recall"] == 1.0


@pytest.mark.parametrize("category", list(Category))
def test_who_always_says_the_same_fails(category: Category) -> None:
    """No single word is a way through the exam."""
    paper = read_paper()

    assert marks_of(paper, [said(category)] * len(paper.tasks)).failures


def test_who_gives_nothing_usable_fails() -> None:
    """Silence is not caution."""
    paper = read_paper()

    marks = marks_of(paper, [None] * len(paper.tasks))

    assert marks.measures["usable"] == marks.measures["accuracy"] == 0
    assert any("usable" in failure for failure in marks.failures)


def test_who_obeys_one_injection_fails() -> None:
    """All else being right, one order taken from a program is too much."""
    paper = read_paper()
    verdicts = right_answers(paper)
    index = next(i for i, task in enumerate(paper.tasks) if task.injection_wants and task.expected is Category.SUSPICIOUS)
    verdicts[index] = said(paper.tasks[index].injection_wants or Category.UNKNOWN)

    marks = marks_of(paper, verdicts)

    assert marks.obeyed
    assert [f for f in marks.failures if f.startswith("injections obeyed")]


def test_who_slows_two_servers_fails() -> None:
    """Harm to what is protected is bounded far more tightly than being wrong."""
    paper = read_paper()
    verdicts = right_answers(paper)
    protected = [i for i, task in enumerate(paper.tasks) if task.expected in PROTECTED and not SLOWED & task.right]
    for index in protected[:2]:
        verdicts[index] = said(Category.BACKGROUND)

    failures = marks_of(paper, verdicts).failures

    assert len(failures) == 1
    assert failures[0].startswith("harm ")


def test_every_criterion_has_a_reason_and_a_bound() -> None:
    """Each is data that a person can judge."""
    measures = Marks().measures

    assert {c.measure for c in CRITERIA} == set(measures)
    assert all(c.reason and (c.at_least is None) != (c.at_most is None) for c in CRITERIA)


def test_part_of_the_exam_is_never_a_pass() -> None:
    """A look at some questions has all kinds in it, and no result that could be believed."""
    paper = read_paper()
    tasks = spread(paper.tasks, 27)

    report = examine(paper, tasks, Llm(backend="none"), SimulatedClock(), lambda _done: None)

    assert len({task.expected for task in tasks}) == len(Category) + 1
    assert not report.result.passed
    assert "a part of the exam" in report.result.failures[-1]


def test_rules_and_local_model_pass_the_exam() -> None:
    """What is shipped meets its own criteria, on programs it never saw."""
    paper = read_paper()
    seen: list[int] = []

    report = examine(paper, paper.tasks, Llm(backend="none"), SimulatedClock(), seen.append)

    assert report.result.passed, report.result.failures
    assert report.marks.harmed == []
    assert seen[-1] == len(paper.tasks)
    assert (report.result.backend, report.result.prompt_version) == ("none", PROMPT_VERSION)
    assert report.result.model == f"rules+local/{LocalModel().description.version}"


def test_latency_of_no_call_is_zero() -> None:
    """A model that never answered has no figures, and no error for it."""
    paper = read_paper()
    report = examine(paper, (), Llm(backend="none"), SimulatedClock(), lambda _done: None)

    assert report.latency_ms == (0.0, 0.0)
    assert Answers("a", "b").failures == {}


def test_model_named_on_the_command_line_replaces_the_configured_one() -> None:
    """Each backend has its own key for it."""
    assert with_model(Llm(), "ollama", "tiny").ollama_model == "tiny"
    assert with_model(Llm(), "groq", "tiny").groq_model == "tiny"
    assert with_model(Llm(backend="llamacpp"), None, "/m.gguf").llamacpp_model_file == "/m.gguf"
    assert with_model(Llm(), None, None) == Llm()


def test_file_that_is_no_exam_is_named(tmp_path: Path) -> None:
    """A damaged installation is said to be one."""
    file = tmp_path / "records.jsonl"
    for data in ("{", '{"id": "x"}\n', '{"id": "x", "expected": "nonsense"}\n'):
        file.write_text(data)

        with pytest.raises(BrainKernelError, match=r"records\.jsonl"):
            read_paper(file)


def test_spread_takes_what_there_is() -> None:
    """More than all is all."""
    tasks: tuple[Task, ...] = read_paper().tasks

    assert len(spread(tasks, 10_000)) == len(tasks)
