"""One batch of questions through budget, breaker, retries and the chain of backends."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.gateway.llm.answer import Reading, read_answer
from brainkernel.gateway.llm.backend import Backend, Message, RawAnswer, max_output_tokens
from brainkernel.gateway.llm.failure import Cause, LlmError
from brainkernel.gateway.llm.prompt import messages_of, schema_of
from brainkernel.link.messages import ProposedVerdict, Question, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from brainkernel.clock import Clock
    from brainkernel.gateway.llm.breaker import Breaker
    from brainkernel.gateway.llm.budget import Budget
    from brainkernel.gateway.llm.prices import Prices

ATTEMPTS_MAX = 3
FIRST_BACKOFF_S = 0.1
RATE_LIMIT_REST_S = 10.0  # when a server says "too many" without saying for how long
CHARS_PER_TOKEN = 2  # paths and options tokenize badly; measured 2.4 and more, and a reservation must not be too low
_LABEL_CHARS = 96
_S = 1_000_000_000


@dataclass(slots=True)
class Slot:
    """A backend with what is remembered of it. `rate` is its tokens per minute, if it has such a limit."""

    backend: Backend
    breaker: Breaker
    rate: Budget | None = None
    rests_until_ns: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one batch: one entry per question, or none and a `failure`."""

    verdicts: tuple[ProposedVerdict | None, ...] = ()
    failure: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    messages: list[Message]
    count: int
    tokens_max: int
    soft_ns: int
    hard_ns: int
    usages: list[Usage] = field(default_factory=list)


class Caller:
    """Asks the backends in order until one gives something usable. Safe to use from several threads."""

    def __init__(
        self,
        slots: Sequence[Slot],
        budget: Budget,
        *,
        prices: Prices,
        clock: Clock,
        figures: metrics.Figures,
        wait: Callable[[float], object],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`wait` sleeps for some seconds (and may end early); `jitter` gives 0..1; `figures` must bear several threads."""
        self.slots = tuple(slots)
        self._budget = budget
        self._prices = prices
        self._clock = clock
        self._figures = figures
        self._wait = wait
        self._jitter = jitter

    def ask(self, questions: Sequence[Question], *, soft_ns: int, hard_ns: int) -> Result:
        """Answer one batch. Never raises for what a backend does.

        After `soft_ns`, the daemon's deadline, no second attempt is made and no second backend asked; one call may go on
        until `hard_ns`, since a late answer still goes into the daemon's cache.
        """
        messages = messages_of(questions)
        tokens_max = sum(len(m["content"]) for m in messages) // CHARS_PER_TOKEN + max_output_tokens(len(questions))
        if len(questions) > 1 and self._exceeds_a_minute(tokens_max):
            half = len(questions) // 2
            first, second = (self.ask(part, soft_ns=soft_ns, hard_ns=hard_ns) for part in (questions[:half], questions[half:]))
            return _together(first, half, second, len(questions) - half)
        job = _Job(messages, len(questions), tokens_max, soft_ns, hard_ns)
        failure = Cause.NO_BACKEND
        for slot in self.slots:
            now_ns = self._clock.boot_ns()
            if now_ns >= hard_ns or (slot is not self.slots[0] and now_ns >= soft_ns):
                failure = Cause.TIMEOUT if slot is self.slots[0] else failure
                break
            # A backend that has others behind it leaves them half of the time.
            ends_ns = hard_ns if slot is self.slots[-1] or now_ns >= soft_ns else now_ns + (soft_ns - now_ns) // 2
            outcome = self._ask_slot(slot, job, ends_ns)
            if isinstance(outcome, Reading):
                return Result(outcome.verdicts, usage=job.usages[-1])
            failure = outcome
        return Result(failure=failure.value, usage=job.usages[-1] if job.usages else None)

    # Long command lines make a batch that no minute of the account's rate limit has room for: it could never be asked.
    def _exceeds_a_minute(self, tokens: int) -> bool:
        return bool(self.slots) and (rate := self.slots[0].rate) is not None and rate.wait_ns(tokens) is None

    def _ask_slot(self, slot: Slot, job: _Job, ends_ns: int) -> Reading | Cause:
        cause = Cause.TIMEOUT
        for attempt in range(ATTEMPTS_MAX):
            outcome = self._attempt(slot, job, ends_ns)
            if isinstance(outcome, Reading):
                return outcome
            cause = outcome.cause
            self._figures.add(metrics.LLM_FAILURES, slot.backend.name, cause.value)
            pause_s = self._pause_s(outcome, attempt)
            if pause_s is None or self._clock.boot_ns() + pause_s * _S >= min(job.soft_ns, ends_ns):
                break
            self._wait(pause_s)
        return cause

    # How long to wait before the next attempt; None where another one cannot help.
    def _pause_s(self, error: LlmError, attempt: int) -> float | None:
        backoff_s = FIRST_BACKOFF_S * (1 << attempt) * (0.5 + self._jitter())
        if error.cause is Cause.RATE_LIMITED or error.retry_after_s is not None:
            return None if error.retry_after_s is None else error.retry_after_s + FIRST_BACKOFF_S * self._jitter()
        if error.permanent or error.cause not in (Cause.CONNECTION, Cause.HTTP_STATUS):
            return None  # at temperature 0 nonsense comes again, and what timed out has had its time
        return backoff_s

    def _attempt(self, slot: Slot, job: _Job, ends_ns: int) -> Reading | LlmError:
        now_ns = self._clock.boot_ns()
        if now_ns < slot.rests_until_ns:
            return LlmError(Cause.RATE_LIMITED, retry_after_s=(slot.rests_until_ns - now_ns) / _S)
        if not slot.breaker.allows():
            return LlmError(Cause.BREAKER_OPEN)
        spending = self._budget.reserve(job.tokens_max)
        if spending is None:
            slot.breaker.withdrawn()
            return LlmError(Cause.BUDGET)
        rate_spending = slot.rate.reserve(job.tokens_max) if slot.rate else None
        if slot.rate and rate_spending is None:
            self._budget.settle(spending, 0)
            slot.breaker.withdrawn()
            wait_ns = slot.rate.wait_ns(job.tokens_max)
            return LlmError(Cause.RATE_LIMITED, retry_after_s=None if wait_ns is None else wait_ns / _S)
        outcome, tokens = self._call(slot, job, ends_ns)
        self._budget.settle(spending, tokens)
        if slot.rate and rate_spending:
            slot.rate.settle(rate_spending, tokens)
        return outcome

    # Returns the outcome and the tokens it cost.
    def _call(self, slot: Slot, job: _Job, ends_ns: int) -> tuple[Reading | LlmError, int]:
        backend, began_ns = slot.backend, self._clock.boot_ns()
        try:
            raw = backend.judge(job.messages, schema_of(job.count), count=job.count, timeout_s=max(0.05, (ends_ns - began_ns) / _S))
        except LlmError as error:
            self._note_call(backend, "failed", began_ns)
            if error.cause is Cause.RATE_LIMITED:
                slot.breaker.withdrawn()
                rest_s = RATE_LIMIT_REST_S if error.retry_after_s is None else error.retry_after_s
                slot.rests_until_ns = self._clock.boot_ns() + int(rest_s * _S)
            else:
                slot.breaker.failed()
            # A call that was cut short may have been charged in full; one that was refused cost nothing.
            refused = error.cause in (Cause.CONNECTION, Cause.HTTP_STATUS, Cause.RATE_LIMITED, Cause.NO_BACKEND)
            return error, 0 if refused else job.tokens_max
        tokens = (raw.tokens_in + raw.tokens_out) or job.tokens_max
        job.usages.append(self._usage_of(backend, raw, began_ns))
        self._note_cost(backend, raw)
        reading = read_answer(raw.text, job.count)
        self._note_call(backend, "failed" if reading.empty else "ok", began_ns)
        if reading.empty:
            slot.breaker.failed()
            return LlmError(reading.cause or Cause.WRONG_SCHEMA), tokens
        if reading.cause is not None:
            self._figures.add(metrics.LLM_FAILURES, backend.name, reading.cause.value)
        slot.breaker.succeeded()
        return reading, tokens

    def _note_call(self, backend: Backend, result: str, began_ns: int) -> None:
        self._figures.add(metrics.LLM_CALLS, backend.name, result)
        self._figures.observe(metrics.LLM_SECONDS, (self._clock.boot_ns() - began_ns) / _S, backend.name)

    def _note_cost(self, backend: Backend, raw: RawAnswer) -> None:
        self._figures.add(metrics.LLM_TOKENS, backend.name, "in", by=raw.tokens_in)
        self._figures.add(metrics.LLM_TOKENS, backend.name, "out", by=raw.tokens_out)
        price = self._prices.of(backend.name, backend.model)
        if price is not None:
            self._figures.add(metrics.LLM_COST, backend.name, backend.model[:_LABEL_CHARS], by=price.of(raw.tokens_in, raw.tokens_out))

    def _usage_of(self, backend: Backend, raw: RawAnswer, began_ns: int) -> Usage:
        latency_ns = self._clock.boot_ns() - began_ns
        return Usage(backend.name, backend.model[:512], latency_ns, raw.tokens_in, raw.tokens_out)


# Whose the verdicts are decides what they may do: two models' do not become one result.
def _together(first: Result, first_count: int, second: Result, second_count: int) -> Result:
    if not first.verdicts:
        return replace(second, verdicts=(*(None,) * first_count, *second.verdicts)) if second.verdicts else first
    one, other = first.usage, second.usage
    if one is None or other is None or (one.backend, one.model) != (other.backend, other.model) or not second.verdicts:
        return replace(first, verdicts=(*first.verdicts, *(None,) * second_count))
    tokens_in, tokens_out = one.tokens_in + other.tokens_in, one.tokens_out + other.tokens_out
    usage = Usage(one.backend, one.model, one.latency_ns + other.latency_ns, tokens_in, tokens_out)
    return Result((*first.verdicts, *second.verdicts), usage=usage)
