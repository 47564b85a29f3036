"""The chain of those who may say what a program is, cheapest first. Each may pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from brainkernel.classify.cachekey import cache_key
from brainkernel.model import Category, Suspect, Tier, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from brainkernel.classify.ruleset import RuleSet

UNKNOWN_REASON = "no rule, no package and no earlier verdict says what this is"

SAID = "said-by-a-person"  # in the place of a rule's id
_CAREFUL = frozenset({Category.SYSTEM_CRITICAL, Category.INTERACTIVE, Category.SERVICE})


class Judge(Protocol):
    """One tier. A local model is one more of these."""

    tier: Tier

    def judge(self, suspect: Suspect) -> Verdict | None:
        """Give a verdict, or None to leave it to the next tier. Never raises for what a program looks like."""
        ...


class VerdictCache(Protocol):
    """Where verdicts outlive a process and a restart. `store` implements it."""

    def get(self, key: str) -> Verdict | None:
        """The verdict under a key, None if there is none or its time is over."""
        ...

    def put(self, key: str, verdict: Verdict, ttl_s: float) -> None:
        """Keep a verdict for a time."""
        ...

    def forget(self, key: str) -> None:
        """Drop the verdict under a key, if there is one."""
        ...


class RulesTier:
    """The rules and the distribution's metadata."""

    tier = Tier.RULES

    def __init__(self, ruleset: RuleSet) -> None:
        self.ruleset = ruleset

    def judge(self, suspect: Suspect) -> Verdict | None:
        """Give the deciding rule's verdict, else the package's."""
        return self.ruleset.judge(suspect.program, suspect.evidence)


class CacheTier:
    """Earlier verdicts of slower tiers on the same program in the same use."""

    tier = Tier.CACHE

    def __init__(
        self,
        cache: VerdictCache,
        may_act: Callable[[Verdict], bool] | None = None,
        looked_up: Callable[[str, bool], None] = lambda _key, _found: None,
    ) -> None:
        """`may_act`: whether an LLM's kept verdict may limit today; without it, what held when it was kept holds.

        `looked_up` is told of each key that was looked for, and whether there was a verdict.
        """
        self._cache = cache
        self._may_act = may_act
        self._looked_up = looked_up

    def judge(self, suspect: Suspect) -> Verdict | None:
        """Give the kept verdict, marked as coming from the cache."""
        key = cache_key(suspect)
        found = self._cache.get(key)
        self._looked_up(key, found is not None)
        if found is None:
            return None
        return Verdict(
            category=found.category,
            confidence=found.confidence,
            tier=Tier.CACHE,
            reason=found.reason,
            rule=found.rule,
            model=found.model,
            may_act=self._may_act(found) if self._may_act and found.tier is Tier.LLM else found.may_act,
        )

    def keep(self, suspect: Suspect, verdict: Verdict, ttl_s: float) -> None:
        """Keep what a slower tier said. Rules are not kept: they are fast, and a changed rule must hold at once.

        An unknown is not kept either, so that it is asked again when an LLM is there.
        """
        if verdict.tier in (Tier.MODEL, Tier.LLM) and verdict.category is not Category.UNKNOWN and not verdict.pending:
            key = cache_key(suspect)
            if (found := self._cache.get(key)) is None or found.rule != SAID:  # a late answer goes not over a person's word
                self._cache.put(key, verdict, ttl_s)

    def said(self, suspect: Suspect, label: Category, ttl_s: float) -> None:
        """A person says what a program is: what was kept against that is dropped.

        A word that makes us more careful is kept in its place. One that would have a program limited is not: it is learned
        from, with the words of others.
        """
        key = cache_key(suspect)
        if (found := self._cache.get(key)) is not None and found.category is not label:
            self._cache.forget(key)
        if label in _CAREFUL:
            verdict = Verdict(category=label, confidence=1.0, tier=Tier.CACHE, reason="a person said so", rule=SAID)
            self._cache.put(key, verdict, ttl_s)


def classify(suspect: Suspect, tiers: Iterable[Judge]) -> Verdict:
    """Ask the tiers in order; the first that does not pass decides. What nobody knows is unknown, and left alone."""
    for tier in tiers:
        verdict = tier.judge(suspect)
        if verdict is not None:
            return verdict
    return Verdict.unknown(UNKNOWN_REASON)


def combined(ours: Verdict, proposed: Verdict) -> Verdict:
    """Weigh a late or remote proposal against what we know: it fills a gap and never takes back a suspicion.

    A verdict of rules stands against any model. Against an unknown, the proposal decides.
    """
    if ours.category is Category.SUSPICIOUS or ours.tier is Tier.RULES:
        return ours
    return proposed if proposed.category is not Category.UNKNOWN else ours
