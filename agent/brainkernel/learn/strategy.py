"""How bold the agent is: which of three strategies is in force, and why. Pure but for which one that is.

The rules are asked in order and the first that holds is followed; where none holds, it is `balanced`. A rule that is
in force is left only beyond its second threshold (hysteresis), and no strategy is left by itself before `DWELL_NS`.
A figure that is not known (too few samples) holds for nothing: without a known rate of false positives nothing is
made bolder.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DWELL_NS = 300_000_000_000


class Strategy(enum.StrEnum):
    """In words a person can type."""

    AGGRESSIVE = "aggressive"
    BALANCED = "balanced"
    CONSERVATIVE = "conservative"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a strategy sets.

    A limit needs a verdict as sure as the stricter of `throttle_threshold` and the policy's `min_confidence`: a
    strategy may ask for more than the person who wrote the policy, never for less. A program that hurts and was not
    limited is judged again after the shorter of `check_interval_s` and `gate.debounce_s`.
    """

    throttle_threshold: float
    check_interval_s: float


SETTINGS = {
    Strategy.AGGRESSIVE: Settings(0.3, 5.0),
    Strategy.BALANCED: Settings(0.5, 10.0),
    Strategy.CONSERVATIVE: Settings(0.7, 30.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the rules look at; None: not known."""

    mean_decision_ms: float | None = None
    false_positive_rate: float | None = None  # of the last 24 hours
    stability: float | None = None


_WORDS = {
    "mean_decision_ms": ("mean decision time", "{:.0f} ms"),
    "false_positive_rate": ("false positive rate", "{:.3f}"),
    "stability": ("stability", "{:.2f}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A figure above or below `enter`; while the rule is in force, `leave` counts instead."""

    figure: str
    above: bool
    enter: float
    leave: float

    def holds(self, figures: Figures, *, in_force: bool) -> bool:
        """Whether the figure is beyond the threshold; not if it is not known."""
        value = getattr(figures, self.figure)
        threshold = self.leave if in_force else self.enter
        return value is not None and (value > threshold if self.above else value < threshold)

    def text(self, figures: Figures) -> str:
        """The figure and its threshold in words."""
        name, form = _WORDS[self.figure]
        value = getattr(figures, self.figure)
        sign = ">" if self.above else "<"
        return f"{name} {form.format(value) if value is not None else 'unknown'} {sign} {form.format(self.enter)}"


@dataclass(frozen=True, slots=True)
class Rule:
    """All bounds hold: this strategy."""

    bounds: tuple[Bound, ...]
    strategy: Strategy


_SLOW = Bound(figure="mean_decision_ms", above=True, enter=3000, leave=2400)
_RIGHT = Bound(figure="false_positive_rate", above=False, enter=0.05, leave=0.07)
_UNSTABLE = Bound(figure="stability", above=False, enter=0.80, leave=0.85)
RULES = (
    Rule((_SLOW, _RIGHT), Strategy.AGGRESSIVE),
    Rule((_SLOW,), Strategy.CONSERVATIVE),
    Rule((_UNSTABLE,), Strategy.CONSERVATIVE),
)


class ChangedBy(enum.StrEnum):
    """Who changed the strategy."""

    RULES = "rules"
    PERSON = "force"
    ALERT = "alert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One strategy gave way to another."""

    before: Strategy
    after: Strategy
    why: str
    by: ChangedBy = ChangedBy.RULES


class Strategist:
    """Follows the rules, unless a person forces a strategy, or else an alert demands one. Times are CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self.table: Mapping[Strategy, Settings] = SETTINGS
        self._chosen = Strategy.BALANCED
        self._why = "no rule holds"
        self._rule: Rule | None = None
        self._since_ns: int | None = None
        self._forced: Strategy | None = None
        self._forced_until_ns: int | None = None
        self._demanded: Strategy | None = None

    @property
    def strategy(self) -> Strategy:
        """The one in force."""
        return self._forced or self._demanded or self._chosen

    @property
    def settings(self) -> Settings:
        """What it sets."""
        return self.table[self.strategy]

    @property
    def why(self) -> str:
        """Why this one, in words."""
        return "forced" if self._forced else "an alert demands it" if self._demanded else self._why

    @property
    def forced_until_ns(self) -> int | None:
        """When a forced strategy ends; None if none is forced, or without end."""
        return self._forced_until_ns if self._forced else None

    @property
    def is_forced(self) -> bool:
        """Whether a person has forced it."""
        return self._forced is not None

    def consider(self, figures: Figures, now_ns: int) -> Change | None:
        """Follow the rules; returns the change that others see, if there is one."""
        before = self.strategy
        over = self._forced_until_ns is not None and now_ns >= self._forced_until_ns
        if over:
            self._forced = self._forced_until_ns = None
        self._follow_rules(figures, now_ns)
        if self.strategy is before:
            return None
        return Change(before=before, after=self.strategy, why=f"its time is over; {self.why}" if over else self._why)

    def force(self, strategy: Strategy | None, now_ns: int, *, until_ns: int | None = None) -> Change | None:
        """Put a strategy in force whatever the rules say; None: follow the rules again."""
        before = self.strategy
        self._forced, self._forced_until_ns = strategy, until_ns if strategy else None
        if self.strategy is before:
            return None
        self._since_ns = now_ns
        why = self.why if strategy or self._demanded else "the rules are followed again"
        return Change(before=before, after=self.strategy, why=why, by=ChangedBy.PERSON)

    def demand(self, strategy: Strategy | None, now_ns: int) -> Change | None:
        """Put a strategy in force for as long as alerts ask for it, whatever the rules say; what a person forced stays before it."""
        before = self.strategy
        self._demanded = strategy
        if self.strategy is before:
            return None
        self._since_ns = now_ns
        why = self.why if strategy else f"no alert demands another any more; {self.why}"
        return Change(before=before, after=self.strategy, why=why, by=ChangedBy.ALERT)

    def _follow_rules(self, figures: Figures, now_ns: int) -> None:
        if self._since_ns is None:
            self._since_ns = now_ns
        rule = next((r for r in RULES if all(b.holds(figures, in_force=r is self._rule) for b in r.bounds)), None)
        wanted = rule.strategy if rule else Strategy.BALANCED
        if wanted is not self._chosen:
            if now_ns - self._since_ns < DWELL_NS:
                return
            self._chosen, self._since_ns = wanted, now_ns
        self._rule = rule
        if rule:
            self._why = ", ".join(bound.text(figures) for bound in rule.bounds)
        else:
            self._why = f"no rule holds: {_all(figures)}"


def _all(figures: Figures) -> str:
    parts = []
    for figure, (name, form) in _WORDS.items():
        value = getattr(figures, figure)
        parts.append(f"{name} {form.format(value) if value is not None else 'unknown'}")
    return ", ".join(parts)
