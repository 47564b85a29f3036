"""Asking an LLM from the command line: with the gateway's own parts, in this process, with the caller's rights."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from brainkernel.asking import question_of
from brainkernel.clock import Clock, SystemClock
from brainkernel.errors import BrainKernelError
from brainkernel.gateway.llm.breaker import Breaker
from brainkernel.gateway.llm.budget import DAY_NS, HOUR_NS, Budget
from brainkernel.gateway.llm.caller import Caller, Slot
from brainkernel.gateway.llm.choice import Chooser
from brainkernel.gateway.llm.prices import Prices
from brainkernel.metrics import Figures
from brainkernel.model import Suspect, Tier, Verdict

if TYPE_CHECKING:
    from brainkernel import config
    from brainkernel.link.messages import ProposedVerdict

_PATIENCE_NS = 120 * 1_000_000_000  # nobody's start waits here: a slow model on a CPU gets its time


class LlmAsker:
    """Implements `classify.offline.Asker` over the backends that were found."""

    def __init__(self, caller: Caller, clock: Clock) -> None:
        self._caller = caller
        self._clock = clock

    def ask(self, suspects: list[Suspect]) -> list[Verdict]:
        """Ask about up to eight programs; what went wrong is the reason of an unknown verdict."""
        until_ns = self._clock.boot_ns() + _PATIENCE_NS
        result = self._caller.ask([question_of(s) for s in suspects], soft_ns=until_ns, hard_ns=until_ns)
        if result.failure:
            return [Verdict.unknown(f"the LLM gave no answer: {result.failure}", tier=Tier.LLM)] * len(suspects)
        model = f"{result.usage.backend}/{result.usage.model}" if result.usage else ""
        return [_verdict_of(proposed, model) for proposed in result.verdicts]


def asker_of(settings: config.Llm, backend: str | None) -> LlmAsker | None:
    """Find the configured language models, or those of one backend; None if there is none.

    Raises BrainKernelError when a backend was named and is not there.
    """
    wanted = msgspec.structs.replace(settings, backend=backend) if backend else settings
    choice = Chooser(wanted).choose()
    if not choice.backends:
        if backend:
            msg = f"--backend {backend}: {choice.reason}"
            raise BrainKernelError(msg)
        return None
    clock = SystemClock()
    budget = Budget({HOUR_NS: settings.tokens_per_hour, DAY_NS: settings.tokens_per_day}, clock)
    slots = [Slot(found, Breaker(clock)) for found in choice.backends]
    return LlmAsker(Caller(slots, budget, prices=Prices(settings), clock=clock, figures=Figures(), wait=time.sleep), clock)


def _verdict_of(proposed: ProposedVerdict | None, model: str) -> Verdict:
    if proposed is None:
        return Verdict.unknown("the LLM gave no usable verdict on this one", tier=Tier.LLM)
    return Verdict(category=proposed.category, confidence=proposed.confidence, tier=Tier.LLM, reason=proposed.reason, model=model)
