"""Stored decisions under another configuration or local model: what would differ, and how well each judges by what is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from brainkernel.decide.simulation import PROTECTED, is_protected, limits, resimulated
from brainkernel.escape import escaped
from brainkernel.learn.quality import TOTAL, Evaluator, Rate
from brainkernel.learn.strategy import SETTINGS, Strategy
from brainkernel.model import Tier, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.config import Config
    from brainkernel.model import Decision, Judgement, Suspect

PROGRAMS_SHOWN = 20
Key = tuple[str, str]  # category, program


Judge = Callable[["Suspect"], "Verdict | None"]  # the local model


@dataclass(slots=True)
class Simulation:
    """What came out. Counts are of decisions; `more` and `less` of limits that only one of both would set."""

    decisions: int = 0
    with_symptom: int = 0
    limits_then: int = 0
    limits_now: int = 0
    more: Counter[Key] = field(default_factory=Counter)
    less: Counter[Key] = field(default_factory=Counter)
    renamed: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # category then, category now, program
    protected: Counter[Key] = field(default_factory=Counter)  # those of `more` that are protected programs
    quality_then: tuple[Rate, ...] = ()
    quality_now: tuple[Rate, ...] = ()


def simulate(decisions: Iterable[Decision], judgements: Iterable[Judgement], config: Config, model: Judge | None = None) -> Simulation:
    """Decide about each record again under `config`, with the balanced strategy, and with another local model if one is given.

    A model is asked where the one of then was: where neither rules nor an earlier verdict nor a language model knew the program.
    """
    found = Simulation()
    words = list(judgements)
    precious = {word.decision_id for word in words if word.label in PROTECTED}  # in a person's eyes
    precious_exes: set[str] = set()
    changed: set[int] = set()  # decisions that would have been a limit, or none, unlike then
    verdicts: dict[int, Verdict] = {}  # those that are others now
    for decision in decisions:
        found.decisions += 1
        verdict = _judged_again(decision, model) if model else decision.verdict
        exe = escaped(decision.suspect.program.exe or decision.suspect.program.comm)
        if verdict.category is not decision.verdict.category:
            verdicts[decision.id] = verdict
            found.renamed[decision.verdict.category.value, verdict.category.value, exe] += 1
        if decision.id in precious:
            precious_exes.add(exe)
        if decision.symptom is not None and _compare(found, decision, replace(decision, verdict=verdict), config, exe):
            changed.add(decision.id)
    found.protected.update({key: count for key, count in found.more.items() if key[1] in precious_exes})
    found.quality_then = _quality(words, config)
    found.quality_now = _quality([_as_it_would_be(word, changed, verdicts) for word in words], config)
    return found


def _judged_again(decision: Decision, model: Judge) -> Verdict:
    if decision.verdict.tier not in (Tier.MODEL, Tier.NONE):
        return decision.verdict
    verdict = model(decision.suspect)
    if verdict is None:
        return decision.verdict if decision.verdict.tier is Tier.NONE else Verdict.unknown("the new model does not know it")
    return verdict


# Counts one decision about harm; True if only one of both would limit.
def _compare(found: Simulation, decision: Decision, again: Decision, config: Config, exe: str) -> bool:
    found.with_symptom += 1
    then, now = limits(decision), limits(resimulated(again, config, SETTINGS[Strategy.BALANCED].throttle_threshold))
    found.limits_then += then
    found.limits_now += now
    if then is now:
        return False
    key = (again.verdict.category.value, exe)
    (found.more if now else found.less)[key] += 1
    if now and is_protected(decision):
        found.protected[key] += 1
    return True


# What should have been done, and what the program is, stays; whether that was done and said is what differs.
def _as_it_would_be(word: Judgement, changed: set[int], verdicts: dict[int, Verdict]) -> Judgement:
    if word.decision_id in changed:
        word = replace(word, limited=not word.limited, act_right=None if word.act_right is None else not word.act_right)
    if (verdict := verdicts.get(word.decision_id)) is None:
        return word
    if word.label is not None:
        return replace(word, category_right=word.label is verdict.category)
    return replace(word, category_right=None if word.category_right is None else not word.category_right)


def _quality(words: Iterable[Judgement], config: Config) -> tuple[Rate, ...]:
    evaluator = Evaluator(config.quality)
    newest_ns = 0
    for word in words:
        evaluator.add(word)
        newest_ns = max(newest_ns, word.time_ns)
    return tuple(rate for rate in evaluator.rates(newest_ns) if rate.window == TOTAL)


def object_of(found: Simulation) -> dict[str, Any]:
    """For programs."""

    def listed(counter: Counter[Key]) -> list[dict[str, Any]]:
        return [{"category": category, "exe": exe, "decisions": count} for (category, exe), count in counter.most_common()]

    def rates(quality: tuple[Rate, ...]) -> dict[str, Any]:
        return {r.measure.value: {"samples": r.samples, "value": r.value, "low": r.low, "high": r.high} for r in quality}

    return {
        "decisions": found.decisions,
        "with_symptom": found.with_symptom,
        "limits_then": found.limits_then,
        "limits_now": found.limits_now,
        "by_category": {category: {"would_be_limited": more, "would_not_be_limited": less} for category, more, less in _by_category(found)},
        "would_be_limited": listed(found.more),
        "would_not_be_limited": listed(found.less),
        "renamed": [{"then": then, "now": now, "exe": exe, "decisions": n} for (then, now, exe), n in found.renamed.most_common()],
        "protected": listed(found.protected),
        "quality_then": rates(found.quality_then),
        "quality_now": rates(found.quality_now),
    }


def _by_category(found: Simulation) -> list[tuple[str, int, int]]:
    more, less = Counter[str](), Counter[str]()
    for counter, of_category in ((found.more, more), (found.less, less)):
        for (category, _exe), count in counter.items():
            of_category[category] += count
    return [(category, more[category], less[category]) for category in sorted({*more, *less})]


def lines_of(found: Simulation) -> list[str]:
    """For people."""
    lines = [
        f"{found.decisions} decisions, of them {found.with_symptom} about a program that hurt somebody",
        f"limits: {found.limits_then} as it was, {found.limits_now} as it would be",
    ]
    lines += [f"  {category:<16}{more:>6} more {less:>6} less" for category, more, less in _by_category(found)]
    for heading, counter in (("would be limited and was not", found.more), ("would not be limited and was", found.less)):
        lines += ["", f"{heading}: {sum(counter.values())}"]
        lines += _shown(f"{count:>6}  {category:<16}{exe}" for (category, exe), count in counter.most_common())
    if found.renamed:
        lines += ["", f"would be called something else: {sum(found.renamed.values())}"]
        lines += _shown(f"{n:>6}  {then} -> {now}  {exe}" for (then, now, exe), n in found.renamed.most_common())
    lines += ["", f"{'quality':<26}{'as it was':>20}{'as it would be':>20}"]
    for then, now in zip(found.quality_then, found.quality_now, strict=True):
        lines.append(f"{then.measure.value.replace('_', ' '):<26}{_rate(then):>20}{_rate(now):>20}")
    if found.protected:
        lines += ["", f"PROTECTED programs would be limited: {', '.join(sorted({exe for _category, exe in found.protected}))}"]
    return lines


def _shown(lines: Iterable[str]) -> list[str]:
    every = [f"  {line}" for line in lines]
    more = len(every) - PROGRAMS_SHOWN
    return [*every[:PROGRAMS_SHOWN], f"          and {more} more programs, see --json"] if more > 0 else every


def _rate(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return f"not enough data ({rate.samples:g})"
    return f"{100 * rate.value:.0f} % ({100 * rate.low:.0f}-{100 * rate.high:.0f})"
