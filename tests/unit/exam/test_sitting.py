"""A model in its exam: what it was not asked says nothing about it, and what comes late answers no other question."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, cast

from brainkernel.clock import SystemClock
from brainkernel.exam.sitting import RESTS_MAX_S, Sitting
from brainkernel.link.asker import Answered, Asker, Late, TimedOut
from brainkernel.link.messages import Hello, ProposedVerdict, Question, Usage
from brainkernel.model import Category
from support.nouns import a_suspect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brainkernel.model import Suspect

USAGE = Usage(backend="ollama", model="slow:1b", tokens_in=300, tokens_out=20, latency_ns=10**9)


class ScriptedAsker:
    """Answers the n-th question by the n-th entry of a script: one or more outcomes, each made of the question's id."""

    def __init__(self, script: list[list[str]]) -> None:
        self.hello = Hello(backend="ollama", model="slow:1b", reason="it is there")
        self.script = script
        self.asked = 0
        self._waiting: list[Answered | Late | TimedOut] = []

    def fileno(self) -> int:
        return 0

    def on_readable(self) -> None:
        """Nothing more than what the script says."""

    def ask(self, questions: Sequence[Question], deadline_ms: int) -> str:
        assert deadline_ms > 0
        own = f"q{self.asked}"
        for outcome in self.script[min(self.asked, len(self.script) - 1)]:
            kind, _, category = outcome.partition(":")
            verdicts = tuple(ProposedVerdict(category=Category(category), confidence=0.9, reason="r") for _ in questions if category)
            made: dict[str, Answered | Late | TimedOut] = {
                "answered": Answered(own, verdicts, "", USAGE),
                "late": Late(f"q{self.asked - 1}", verdicts, "", USAGE),
                "rests": Answered(own, (), "breaker_open", None),
                "timeout": TimedOut(own),
            }
            self._waiting.append(made[kind])
        self.asked += 1
        return own

    def poll(self, now_ns: int) -> list[Answered | Late | TimedOut]:
        assert now_ns > 0
        found, self._waiting = self._waiting, []
        return found


def categories(script: list[list[str]], programs: int, rests: list[float]) -> list[str | None]:
    """What the sitting keeps of each of so many programs, asked one by one."""
    asker = ScriptedAsker(script)
    suspects: list[Suspect] = [a_suspect(f"/usr/bin/p{n}") for n in range(programs)]
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        try:
            sitting = Sitting(cast("Asker", asker), SystemClock(), child, rest=rests.append)
            answers = sitting.answers(suspects, 1, lambda _count: None)
        finally:
            child.kill()
    return [v.category.value if v else None for v in answers.verdicts]


def test_exam_waits_while_the_breaker_lets_a_model_rest() -> None:
    """A slow model is marked slow, not wrong: it is asked again when it may be asked."""
    rests: list[float] = []

    assert categories([["rests"], ["rests"], ["answered:service"]], 1, rests) == ["service"]
    assert len(rests) == 2


def test_exam_of_a_dead_model_ends() -> None:
    """It rests so long in all, and no longer."""
    rests: list[float] = []

    assert categories([["rests"]], 3, rests) == [None, None, None]
    assert sum(rests) == RESTS_MAX_S


def test_late_answer_is_none_to_the_next_question() -> None:
    """What comes after its time was up is not taken for what was asked since."""
    script = [["timeout"], ["late:bloatware", "answered:service"]]

    assert categories(script, 2, []) == [None, "service"]
