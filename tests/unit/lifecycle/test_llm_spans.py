"""Which time is the language model's own, which was spent waiting for it, and how long it may be waited for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from brainkernel.asking import Asking, _Batch, _timed, _Waiting
from brainkernel.clock import SimulatedClock
from brainkernel.config import Llm
from brainkernel.link.messages import Hello, Usage
from support.nouns import a_suspect

if TYPE_CHECKING:
    from brainkernel.link.messages import Question

MS = 1_000_000


@dataclass
class Gateway:
    """Takes questions and answers none."""

    hello: Hello = field(default_factory=lambda: Hello("ollama", "slow:70b", "it answers"))
    outstanding: int = 0
    deadlines_ms: list[int] = field(default_factory=list)

    def ask(self, questions: list[Question], deadline_ms: int) -> str:
        assert len(questions) == 1
        self.deadlines_ms.append(deadline_ms)
        return f"question {len(self.deadlines_ms)}"

    def poll(self, _now_ns: int) -> list[Any]:
        return []


class NoExams:
    def all(self) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("claimed_ms", "queue_ms", "llm_ms"),
    [(300, 720, 300), (None, 20, 1000), (5000, 20, 1000), (0, 1020, 0)],
    ids=["its word", "no word", "more than passed", "nothing"],
)
def test_inference_is_what_the_gateway_says_of_it_within_what_passed(claimed_ms: int | None, queue_ms: float, llm_ms: float) -> None:
    """20 ms of waiting for company and 1000 ms until the answer: retries and the gateway's queue are no inference."""
    waiting = _Waiting(a_suspect(), since_ns=0)
    usage = None if claimed_ms is None else Usage("groq", "llama", claimed_ms * MS)

    timed = _timed(waiting, _Batch((waiting,), sent_ns=20 * MS), 1020 * MS, usage)

    assert [(span.stage, span.ns / MS) for span in timed.spans] == [("llm_queue", queue_ms), ("llm", llm_ms)]


@pytest.mark.parametrize(
    ("began_ms", "left_ms"),
    [(1000, 2940), (0, 1940), (-5000, 1), (9000, 2960)],
    ids=["just now", "a second late", "too late", "a clock that differs"],
)
def test_decision_is_due_three_seconds_after_the_start_of_the_program(began_ms: int, left_ms: int) -> None:
    """What delivery, evidence and company took goes off what a model is waited for, and the loop's own time too."""
    clock, gateway = SimulatedClock(1000 * MS), Gateway()
    asking = Asking(asker=cast("Any", gateway), clock=clock, config=Llm(), exams=cast("Any", NoExams()), remember=lambda *_: None)
    assert asking.ask(replace(a_suspect(), seen_ns=began_ms * MS))

    clock.advance_to(1020 * MS)
    assert asking.collect() == []

    assert gateway.deadlines_ms == [left_ms]


def test_nobody_waits_for_a_refresh() -> None:
    """A verdict asked for again before it expires is about a program of long ago: it has all the time."""
    clock, gateway = SimulatedClock(1000 * MS), Gateway()
    asking = Asking(asker=cast("Any", gateway), clock=clock, config=Llm(), exams=cast("Any", NoExams()), remember=lambda *_: None)
    assert asking.refresh(replace(a_suspect(), seen_ns=0))

    clock.advance_to(1020 * MS)
    assert asking.collect() == []

    assert gateway.deadlines_ms == [2940]
