"""The daemon's answers to what the gateway wants to read: as many as the loop can spare, each within one frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from brainkernel.link.messages import ReadAnswered

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.link.messages import Read

BURST = 16  # a dashboard that opens asks for half of these at once
REFILL_NS = 250_000_000  # one answer takes the loop up to 15 ms: even a gateway that floods us gets 6 % of a core


class Reads:
    """`answer_to` makes the result of one question, None for what is not there."""

    def __init__(self, answer_to: Callable[[Read], msgspec.Struct | None], clock: Clock) -> None:
        self._answer_to = answer_to
        self._clock = clock
        self._full_ns = clock.boot_ns()  # when the bucket will be full again

    def answer(self, question: Read) -> ReadAnswered:
        """Answer, or say why not."""
        now_ns = self._clock.boot_ns()
        full_ns = max(now_ns, self._full_ns) + REFILL_NS
        if full_ns - now_ns > BURST * REFILL_NS:
            return ReadAnswered(id=question.id, error="too_often")
        self._full_ns = full_ns
        result = self._answer_to(question)
        if result is None:
            return ReadAnswered(id=question.id, error="not_there")
        return ReadAnswered(id=question.id, result=msgspec.to_builtins(result))
