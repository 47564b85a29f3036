"""How versions do, by the words about their limits; and whether a canary is taken up or withdrawn for it."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from brainkernel.errors import ConfigError, StoreError
from brainkernel.learn.quality import TOTAL, Evaluator, Measure, Rate
from brainkernel.model import DecisionKind
from brainkernel.versioning.versioning import OURSELVES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from brainkernel.clock import Clock
    from brainkernel.config import Quality
    from brainkernel.model import Decision, Judgement
    from brainkernel.versioning.versioning import Versioning

EVERY_NS = 60_000_000_000
HOUR_NS = 3_600_000_000_000
WRONG_MAX = 0.1  # of a canary's limits, where nothing is known of the others


class Tally:
    """How many decisions about harm each version made since the start, and how many of them were limits."""

    def __init__(self) -> None:
        self.decisions: Counter[int] = Counter()
        self.limits: Counter[int] = Counter()

    def decided(self, decision: Decision) -> None:
        """Count one."""
        if decision.symptom is not None:
            self.decisions[decision.version] += 1
            self.limits[decision.version] += decision.kind in (DecisionKind.LIMIT, DecisionKind.PENDING)


def wrong_by_version(judgements: Iterable[Judgement], config: Quality, since_ns: int = 0) -> dict[int, Rate]:
    """The share of wrong limits of each version, of the words after `since_ns` (CLOCK_REALTIME)."""
    evaluators: dict[int, Evaluator] = {}
    newest_ns = since_ns
    for judgement in judgements:
        if judgement.time_ns >= since_ns:
            evaluators.setdefault(judgement.version, Evaluator(config)).add(judgement)
            newest_ns = max(newest_ns, judgement.time_ns)
    return {version: _wrong(evaluator, newest_ns) for version, evaluator in evaluators.items()}


def _wrong(evaluator: Evaluator, now_ns: int) -> Rate:
    return next(r for r in evaluator.rates(now_ns) if r.measure is Measure.FALSE_POSITIVE and r.window == TOTAL)


def is_worse(canary: Rate | None, current: Rate | None) -> bool:
    """Whether a canary's limits are more often wrong, at 95 % confidence (the interval of Newcombe for two shares)."""
    if canary is None or canary.value is None or canary.low is None:
        return False
    if current is None or current.value is None or current.high is None:
        return canary.low > WRONG_MAX
    doubt = math.hypot(canary.value - canary.low, current.high - current.value)
    return canary.value - current.value > doubt


def text_of(rate: Rate | None) -> str:
    """A share of wrong limits in words."""
    if rate is None or rate.value is None or rate.low is None or rate.high is None:
        return f"too little is known ({rate.samples if rate else 0:g} words)"
    return f"{100 * rate.value:.0f} % of its limits wrong ({100 * rate.low:.0f}-{100 * rate.high:.0f})"


def is_no_way_back(previous: Rate | None, current: Rate | None) -> bool:
    """Whether the version before is known to be worse: an alert about wrong limits must not lead back to it.

    So it is when a person has just mended what the figures of the last day still show.
    """
    if previous is None or previous.value is None or previous.value <= WRONG_MAX:
        return False
    return current is None or current.value is None or current.value < previous.value


class Trial:
    """Looks after a canary once a minute."""

    def __init__(self, versioning: Versioning, judgements: Callable[[], list[Judgement]], clock: Clock) -> None:
        self._versioning = versioning
        self._judgements = judgements
        self._clock = clock
        self._due_ns = 0

    def tick(self) -> None:
        """Withdraw a canary that does worse; take one up whose time is over."""
        pointer = self._versioning.pointer
        if pointer is None or pointer.canary is None or self._clock.boot_ns() < self._due_ns:
            return
        self._due_ns = self._clock.boot_ns() + EVERY_NS
        config = self._versioning.arms.current.standards.config
        rates = wrong_by_version(self._judgements(), config.quality, pointer.canary.since_ns)
        tried, others = rates.get(pointer.canary.number), rates.get(pointer.number)
        figures = f"{text_of(tried)}, of version {pointer.number} {text_of(others)}"
        with suppress(StoreError, ConfigError):  # a disk that is full, a version that was damaged: it is tried again in a minute
            if is_worse(tried, others):
                self._versioning.withdraw(f"it does worse: {figures}", OURSELVES)
            elif self._clock.wall_ns() - pointer.canary.since_ns >= config.versions.canary_hours * HOUR_NS:
                self._versioning.promote(f"it does not do worse: {figures}", OURSELVES)
