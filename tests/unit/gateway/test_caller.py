"""One batch through budget, breaker, retries and the chain, with backends that do as they are told on a clock of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from brainkernel import metrics
from brainkernel.clock import SimulatedClock
from brainkernel.config import Llm
from brainkernel.gateway.llm.backend import RawAnswer
from brainkernel.gateway.llm.breaker import FAILURES_TO_OPEN, Breaker
from brainkernel.gateway.llm.budget import HOUR_NS, MINUTE_NS, Budget
from brainkernel.gateway.llm.caller import RATE_LIMIT_REST_S, Caller, Result, Slot
from brainkernel.gateway.llm.failure import Cause, LlmError
from brainkernel.gateway.llm.prices import Prices
from brainkernel.link.messages import ProposedVerdict, Usage
from brainkernel.model import Category
from support.questions import a_question, an_answer, an_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brainkernel.gateway.llm.backend import Message
    from brainkernel.link.messages import Question

S = 10**9
GOOD = ProposedVerdict(Category.BACKGROUND, 0.9, "indexes files")


class Scripted:
    """A backend that says or raises what comes next in its script; being asked beyond its end is an error."""

    model = "m"

    def __init__(self, clock: SimulatedClock, *script: str | LlmError, name: str = "ollama", takes_s: float = 0.1) -> None:
        self.name = name
        self.script = list(script)
        self.timeouts_s: list[float] = []
        self.takes_s = takes_s
        self._clock = clock

    def judge(self, messages: Sequence[Message], schema: dict[str, Any], *, count: int, timeout_s: float) -> RawAnswer:
        assert self.script, f"{self.name} was asked once more than expected"
        self.timeouts_s.append(timeout_s)
        self._clock.now_boot_ns += int(min(self.takes_s, timeout_s) * S)
        step = self.script.pop(0)
        if isinstance(step, LlmError):
            raise step
        if self.takes_s > timeout_s:
            raise LlmError(Cause.TIMEOUT)
        return RawAnswer(step, 300, 40)


class Bench:
    """A caller over scripted backends."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(now_boot_ns=10**12)
        self.figures = metrics.Figures()
        self.budget = Budget({HOUR_NS: 100_000}, self.clock)
        self.prices = Prices(Llm())
        self.waits_s: list[float] = []
        self.slots: list[Slot] = []

    def add(self, *script: str | LlmError, rate: int = 0, **options: Any) -> Scripted:
        backend = Scripted(self.clock, *script, **options)
        self.slots.append(Slot(backend, Breaker(self.clock), Budget({MINUTE_NS: rate}, self.clock) if rate else None))
        return backend

    def ask(self, count: int = 1, deadline_s: float = 3, grace_s: float = 20) -> Result:
        return self.ask_about([a_question()] * count, deadline_s, grace_s)

    def ask_about(self, questions: list[Question], deadline_s: float = 3, grace_s: float = 20) -> Result:
        caller = Caller(
            self.slots, self.budget, prices=self.prices, clock=self.clock, figures=self.figures, wait=self._wait, jitter=lambda: 0.5
        )
        soft_ns = self.clock.boot_ns() + int(deadline_s * S)
        return caller.ask(questions, soft_ns=soft_ns, hard_ns=soft_ns + int(grace_s * S))

    def _wait(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self.clock.now_boot_ns += int(seconds * S)

    def failures(self, cause: Cause, backend: str = "ollama") -> float:
        return self.figures.value(metrics.LLM_FAILURES, backend, cause.value)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_caller_returns_verdicts_and_what_they_cost(bench: Bench) -> None:
    """A good answer, with its usage, counted by backend."""
    bench.add(an_answer())

    result = bench.ask()

    assert result == Result((GOOD,), "", Usage("ollama", "m", S // 10, 300, 40))
    assert bench.figures.value(metrics.LLM_CALLS, "ollama", "ok") == 1
    assert bench.figures.value(metrics.LLM_TOKENS, "ollama", "in") == 300
    assert bench.figures.value(metrics.LLM_TOKENS, "ollama", "out") == 40
    assert bench.budget.spent(HOUR_NS) == 340


def test_caller_without_backends_says_so(bench: Bench) -> None:
    """No LLM is a normal state with a name."""
    assert bench.ask() == Result(failure="no_backend")


def test_caller_keeps_the_good_part_of_an_answer(bench: Bench) -> None:
    """One wrong entry is counted, the others are used."""
    bench.add(an_answer(an_entry(1, category="benign"), an_entry(2)))

    assert bench.ask(2).verdicts == (None, GOOD)
    assert bench.failures(Cause.WRONG_SCHEMA) == 1


@pytest.mark.parametrize("cause", [Cause.CONNECTION, Cause.HTTP_STATUS])
def test_caller_tries_again_with_jitter(bench: Bench, cause: Cause) -> None:
    """A passing fault is retried inside the deadline, each pause longer than the last."""
    bench.add(LlmError(cause), LlmError(cause), an_answer())

    assert bench.ask().verdicts == (GOOD,)
    assert bench.waits_s == [pytest.approx(0.1), pytest.approx(0.2)]
    assert bench.failures(cause) == 2


@pytest.mark.parametrize(
    "step",
    [
        LlmError(Cause.HTTP_STATUS, permanent=True),
        LlmError(Cause.TIMEOUT),
        LlmError(Cause.TOO_LARGE),
        LlmError(Cause.NOT_JSON),
        "nonsense",
        an_answer(an_entry(), an_entry()),
    ],
    ids=str,
)
def test_caller_does_not_repeat_what_would_fail_again(bench: Bench, step: str | LlmError) -> None:
    """A wrong key, a timeout, and nonsense at temperature 0 are not asked for twice."""
    bench.add(step)

    assert bench.ask().failure in {"http_status", "timeout", "too_large", "not_json", "count_mismatch"}
    assert bench.waits_s == []


def test_caller_falls_back_to_the_next_backend(bench: Bench) -> None:
    """Groq fails, Ollama answers; the first has had half of the time at most, the last may come late."""
    groq = bench.add(LlmError(Cause.TIMEOUT), name="groq", takes_s=99)
    ollama = bench.add(an_answer())

    result = bench.ask()

    assert result.verdicts == (GOOD,)
    assert result.usage is not None
    assert result.usage.backend == "ollama"
    assert groq.timeouts_s == [pytest.approx(1.5)]
    assert ollama.timeouts_s == [pytest.approx(21.5)]


def test_caller_begins_nothing_after_the_deadline_but_lets_the_last_finish(bench: Bench) -> None:
    """An answer that comes late is still an answer: the daemon keeps it for the next time."""
    bench.add(an_answer(), takes_s=10)

    assert bench.ask().verdicts == (GOOD,)


def test_caller_gives_up_at_the_hard_end(bench: Bench) -> None:
    """A model that never answers frees its thread."""
    bench.add("never", takes_s=1e9)

    assert bench.ask().failure == "timeout"
    assert bench.failures(Cause.TIMEOUT) == 1


def test_caller_retries_no_more_when_the_time_is_used_up(bench: Bench) -> None:
    """Retries stay inside the deadline."""
    bench.add(LlmError(Cause.CONNECTION), takes_s=2.95)

    assert bench.ask().failure == "connection"


def test_caller_waits_as_long_as_the_server_says(bench: Bench) -> None:
    """Retry-After is honoured when it fits into the deadline."""
    bench.add(LlmError(Cause.RATE_LIMITED, retry_after_s=1.0), an_answer())

    assert bench.ask().verdicts == (GOOD,)
    assert bench.waits_s == [pytest.approx(1.05)]


@pytest.mark.parametrize(("retry_after_s", "rest_s"), [(40.0, 40.0), (None, RATE_LIMIT_REST_S)])
def test_caller_leaves_a_server_alone_that_said_too_many(bench: Bench, retry_after_s: float | None, rest_s: float) -> None:
    """Until the time it named has passed, it is not asked again, and no breaker opens for it."""
    backend = bench.add(LlmError(Cause.RATE_LIMITED, retry_after_s=retry_after_s), an_answer())

    assert bench.ask().failure == "rate_limited"
    assert bench.ask().failure == "rate_limited"
    assert len(backend.script) == 1
    bench.clock.now_boot_ns += int(rest_s * S)
    assert bench.ask().verdicts == (GOOD,)


def test_caller_keeps_below_the_rate_limit_by_itself(bench: Bench) -> None:
    """With 6,000 tokens a minute, a batch that does not fit is refused here instead of there; the next minute it fits."""
    backend = bench.add(*[an_answer()] * 50, rate=6000)
    answered = 0
    while bench.ask().verdicts:
        answered += 1

    assert 10 <= answered <= 6000 // 340
    assert bench.failures(Cause.RATE_LIMITED) == 1
    assert len(backend.script) == 50 - answered
    bench.clock.now_boot_ns += MINUTE_NS
    assert bench.ask().verdicts == (GOOD,)


LONG = a_question("/opt/x/x", *["--define=" + "a" * 140] * 16, evidence={f"fact {n}": "b" * 120 for n in range(12)})


def test_caller_asks_in_parts_what_no_minute_has_room_for(bench: Bench) -> None:
    """Eight programs with long command lines would be held back for ever by 6,000 tokens a minute; two halves of them are not."""
    backend = bench.add(*[an_answer(an_entry(1), an_entry(2), an_entry(3), an_entry(4))] * 2, rate=6000)

    result = bench.ask_about([LONG] * 8)

    assert result == Result((GOOD,) * 8, "", Usage("ollama", "m", 2 * S // 10, 600, 80))
    assert backend.script == []


def test_caller_takes_the_part_that_was_answered(bench: Bench) -> None:
    """One half is nonsense: the other one counts, in its place."""
    bench.add("nonsense", an_answer(an_entry(1), an_entry(2), an_entry(3), an_entry(4)), rate=6000)
    first = bench.ask_about([LONG] * 8)
    bench.slots.clear()
    bench.add(an_answer(an_entry(1), an_entry(2), an_entry(3), an_entry(4)), "nonsense", rate=6000)
    second = bench.ask_about([LONG] * 8)
    bench.slots.clear()
    bench.add("nonsense", "nonsense", rate=6000)
    neither = bench.ask_about([LONG] * 8)

    assert first.verdicts == (*(None,) * 4, *(GOOD,) * 4)
    assert second.verdicts == (*(GOOD,) * 4, *(None,) * 4)
    assert (neither.verdicts, neither.failure) == ((), "not_json")


def test_caller_gives_no_model_another_ones_verdicts(bench: Bench) -> None:
    """A fallback answered the second half: it may not have passed the exam that the first model has."""
    part = an_answer(an_entry(1), an_entry(2), an_entry(3), an_entry(4))
    bench.add(part, "nonsense", rate=6000)
    bench.add(part, name="groq")

    result = bench.ask_about([LONG] * 8)

    assert result.verdicts == (*(GOOD,) * 4, *(None,) * 4)
    assert result.usage is not None
    assert result.usage.backend == "ollama"


def test_caller_stops_hard_at_the_budget(bench: Bench) -> None:
    """When the tokens of the hour are spent, nothing is sent; the cause is its own."""
    bench.budget = Budget({HOUR_NS: 1000}, bench.clock)
    backend = bench.add(*[an_answer()] * 9)
    results = [bench.ask() for _ in range(4)]

    assert results[-1].failure == "budget"
    assert bench.budget.spent(HOUR_NS) <= 1000
    assert len(backend.script) == 9 - sum(bool(r.verdicts) for r in results)


@pytest.mark.parametrize(("cause", "charged"), [(Cause.CONNECTION, False), (Cause.TIMEOUT, True)])
def test_caller_charges_what_may_have_been_charged(bench: Bench, cause: Cause, charged: bool) -> None:
    """A refused call costs nothing; one that was cut short may have cost all."""
    bench.add(LlmError(cause), takes_s=2.99)
    bench.ask()

    assert (bench.budget.spent(HOUR_NS) > 0) is charged


def test_caller_opens_the_breaker_and_closes_it_again(bench: Bench) -> None:
    """After failures in a row the backend is not asked; after the rest one good answer brings it back."""
    backend = bench.add(*["nonsense"] * FAILURES_TO_OPEN, an_answer(), an_answer())
    for _ in range(FAILURES_TO_OPEN):
        assert bench.ask().failure == "not_json"

    assert bench.ask().failure == "breaker_open"
    assert len(backend.script) == 2
    bench.clock.now_boot_ns += 15 * S
    assert bench.ask().verdicts == (GOOD,)
    assert bench.ask().verdicts == (GOOD,)


def test_caller_meters_what_a_cloud_model_costs(bench: Bench) -> None:
    """300 tokens in and 40 out at the listed price; what runs on the own machine costs nothing."""
    groq = bench.add(an_answer(), name="groq")
    groq.model = "llama-3.1-8b-instant"

    bench.ask()

    assert bench.figures.value(metrics.LLM_COST, "groq", "llama-3.1-8b-instant") == pytest.approx((300 * 0.05 + 40 * 0.08) / 1e6)
