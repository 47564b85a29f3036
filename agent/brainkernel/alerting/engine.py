"""When each rule fires and resolves. Pure over the figures and events it is given, and a clock."""

from __future__ import annotations

import enum
from _blake2 import blake2b  # hashlib loads OpenSSL: 3.6 MB of the daemon's memory
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.alerting.rules import NS_PER_S, AlertRule, Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.alerting.expression import Values

RESOLVE_NS = 30 * NS_PER_S  # a condition that is false for a moment is not over
NO_DATA_NS = 600 * NS_PER_S  # firing without any figure for so long: nothing is known any more
SUBJECTS_MAX = 1_024  # programs whose event was told lately


class State(enum.StrEnum):
    """What an alert says."""

    FIRING = "firing"
    RESOLVED = "resolved"
    EVENT = "event"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One change that is to be told or acted on. Equal fingerprints are the same trouble."""

    rule: AlertRule
    state: State
    text: str
    fingerprint: str
    count: int = 1  # how often since it was told last
    late: bool = False  # the rest of a burst that was told of: to be said, not to be acted on


@dataclass(slots=True)
class Standing:
    """How one rule stands."""

    rule: AlertRule
    since_ns: int | None = None  # the condition holds since then
    clear_ns: int | None = None  # firing, and the condition does not hold since then
    firing: bool = False
    until_ns: int | None = None  # of an event that made the agent act: when that ends
    values: str = ""
    told: int = 0


class Engine:
    """Evaluates all rules; a reload keeps how the unchanged ones stand."""

    def __init__(self, rules: Iterable[AlertRule] = ()) -> None:
        self.standings = [Standing(rule) for rule in rules]
        self._told: OrderedDict[str, tuple[int, int]] = OrderedDict()  # fingerprint: when told, how many since
        self._rests: dict[str, tuple[str, str]] = {}  # fingerprint of what happened since: rule, and the latest text

    @property
    def names(self) -> frozenset[str]:
        """The figures that the rules need."""
        return frozenset().union(*(s.rule.condition.names for s in self.standings if s.rule.condition))

    def replace(self, rules: Iterable[AlertRule]) -> list[Alert]:
        """Take other rules. What fired and is not among them any more is resolved."""
        old = {s.rule.name: s for s in self.standings}
        fresh = []
        for rule in rules:
            before = old.pop(rule.name, None)
            if before is not None and _goes_on(before.rule, rule):
                before.rule = rule
                fresh.append(before)
            else:
                fresh.append(Standing(rule))
                if before is not None:
                    old[rule.name] = before
        self.standings = fresh
        return [self._change(s, State.RESOLVED, "the rule was changed or removed") for s in old.values() if s.firing]

    def evaluate(self, values: Values, now_ns: int) -> list[Alert]:
        """Judge every condition at `now_ns` (boot time), and end what events began; returns what changed."""
        changes = []
        for standing in self.standings:
            if standing.rule.condition is not None:
                change = self._judge(standing, standing.rule.condition.holds(values), values, now_ns)
            else:
                change = self._expire(standing, now_ns)
            changes += [change] if change else []
        return changes

    def event(self, event: Event, subject: str, text: str, now_ns: int) -> list[Alert]:
        """Take an event. The same subject is told once per cool-down, with how often it happened since."""
        found = []
        for standing in self.standings:
            rule = standing.rule
            if rule.on is not event:
                continue
            if standing.firing and rule.lasts_ns is not None:
                standing.until_ns = now_ns + rule.lasts_ns
            fingerprint = fingerprint_of(rule.name, subject)
            told_ns, since = self._told.get(fingerprint, (-1, 0))
            if told_ns >= 0 and now_ns - told_ns < rule.cooldown_ns:
                self._told[fingerprint] = (told_ns, since + 1)
                self._rests[fingerprint] = (rule.name, text)
                continue
            self._take_note(fingerprint, now_ns)
            standing.told += 1
            if rule.lasts_ns is not None and not standing.firing:
                standing.firing, standing.since_ns, standing.until_ns = True, now_ns, now_ns + rule.lasts_ns
            found.append(Alert(rule=rule, state=State.EVENT, text=text, fingerprint=fingerprint, count=since + 1))
        return found

    def rests(self, now_ns: int) -> list[Alert]:
        """What happened since its subject was told of, where the cool-down is over and nothing more came to tell it with."""
        standings = {s.rule.name: s for s in self.standings if s.rule.on is not None}
        found = []
        for fingerprint, (name, text) in list(self._rests.items()):
            told_ns, since = self._told[fingerprint]
            if (standing := standings.get(name)) is None:
                del self._rests[fingerprint]
            elif now_ns - told_ns >= standing.rule.cooldown_ns:
                self._take_note(fingerprint, now_ns)
                found.append(Alert(rule=standing.rule, state=State.EVENT, text=text, fingerprint=fingerprint, count=since, late=True))
        return found

    def _take_note(self, fingerprint: str, now_ns: int) -> None:
        self._rests.pop(fingerprint, None)
        self._told[fingerprint] = (now_ns, 0)
        self._told.move_to_end(fingerprint)
        if len(self._told) > SUBJECTS_MAX:
            oldest, _ = self._told.popitem(last=False)
            self._rests.pop(oldest, None)

    def test_of(self, name: str) -> Alert | None:
        """A message that says it is a test; None if there is no such rule."""
        for standing in self.standings:
            if standing.rule.name == name:
                text = "this is a test: nothing happened, and nothing is done but telling it"
                return Alert(rule=standing.rule, state=State.TEST, text=text, fingerprint=fingerprint_of(name, "test"))
        return None

    def _judge(self, standing: Standing, holds: bool | None, values: Values, now_ns: int) -> Alert | None:
        rule = standing.rule
        assert rule.condition is not None  # noqa: S101 # the caller looked
        standing.values = ", ".join(f"{n} = {_shown(values.get(n))}" for n in sorted(rule.condition.names))
        if holds:
            standing.clear_ns = None
            if standing.since_ns is None:
                standing.since_ns = now_ns
            if not standing.firing and now_ns - standing.since_ns >= rule.for_ns:
                standing.firing = True
                standing.told += 1
                return self._change(standing, State.FIRING, f"{rule.condition.text} ({standing.values})")
            return None
        if not standing.firing:
            standing.since_ns = None
            return None
        if standing.clear_ns is None:
            standing.clear_ns = now_ns
        if now_ns - standing.clear_ns < (NO_DATA_NS if holds is None else RESOLVE_NS):
            return None
        standing.firing, standing.since_ns, standing.clear_ns = False, None, None
        why = "no figure any more" if holds is None else standing.values
        return self._change(standing, State.RESOLVED, f"no longer {rule.condition.text} ({why})")

    def _expire(self, standing: Standing, now_ns: int) -> Alert | None:
        rule = standing.rule
        if not standing.firing or standing.until_ns is None or now_ns < standing.until_ns:
            return None
        standing.firing, standing.since_ns, standing.until_ns = False, None, None
        return self._change(standing, State.RESOLVED, f"no {rule.on} for {(rule.lasts_ns or 0) / NS_PER_S:g} s")

    @staticmethod
    def _change(standing: Standing, state: State, text: str) -> Alert:
        return Alert(rule=standing.rule, state=state, text=text, fingerprint=fingerprint_of(standing.rule.name, ""))


def fingerprint_of(name: str, subject: str) -> str:
    """What makes two messages the same trouble."""
    return blake2b(f"{name}\0{subject}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


# An action that was struck out is undone by the rule that had it done, when that resolves.
def _goes_on(before: AlertRule, rule: AlertRule) -> bool:
    return _text_of(before) == _text_of(rule) and set(before.actions) <= set(rule.actions)


def _text_of(rule: AlertRule) -> tuple[str, Event | None, int]:
    return (rule.condition.text if rule.condition else "", rule.on, rule.for_ns)


def _shown(value: float | None) -> str:
    return "no figure" if value is None else f"{value:.4g}"
