"""Stored decisions under another configuration: what would differ, and how well each judges by what is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from brainkernel.decide.simulation import is_protected, limits, resimulated
from brainkernel.escape import escaped
from brainkernel.learn.quality import TOTAL, Evaluator, Rate
from brainkernel.learn.strategy import SETTINGS, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.config import Config
    from brainkernel.model import Decision, Judgement

PROGRAMS_SHOWN = 20
Key = tuple[str, str]  # category, program


@dataclass(slots=True)
class Simulation:
    """What came out. Counts are of decisions; `more` and `less` of limits that only one of both would set."""

    decisions: int = 0
    with_symptom: int = 0
    limits_then: int = 0
    limits_now: int = 0
    more: Counter[Key] = field(default_factory=Counter)
    less: Counter[Key] = field(default_factory=Counter)
    protected: Counter[Key] = field(default_factory=Counter)  # those of `more` that are protected programs
    quality_then: tuple[Rate, ...] = ()
    quality_now: tuple[Rate, ...] = ()


def simulate(decisions: Iterable[Decision], judgements: Iterable[Judgement], config: Config) -> Simulation:
    """Decide about each record again under `config`, with the balanced strategy."""
    found = Simulation()
    threshold = SETTINGS[Strategy.BALANCED].throttle_threshold
    changed: dict[int, bool] = {}  # decisions that the other configuration would have limited, or not, unlike then
    for decision in decisions:
        found.decisions += 1
        if decision.symptom is None:
            continue
        found.with_symptom += 1
        then, now = limits(decision), limits(resimulated(decision, config, threshold))
        found.limits_then += then
        found.limits_now += now
        if then is now:
            continue
        changed[decision.id] = now
        key = (decision.verdict.category.value, escaped(decision.suspect.program.exe or decision.suspect.program.comm))
        (found.more if now else found.less)[key] += 1
        if now and is_protected(decision):
            found.protected[key] += 1
    words = list(judgements)
    found.quality_then = _quality(words, config)
    found.quality_now = _quality([_turned(word) if word.decision_id in changed else word for word in words], config)
    return found


# What should have been done stays; whether it was done is the other way round.
def _turned(word: Judgement) -> Judgement:
    return replace(word, limited=not word.limited, act_right=None if word.act_right is None else not word.act_right)


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
        "would_be_limited": listed(found.more),
        "would_not_be_limited": listed(found.less),
        "protected": listed(found.protected),
        "quality_then": rates(found.quality_then),
        "quality_now": rates(found.quality_now),
    }


def lines_of(found: Simulation) -> list[str]:
    """For people."""
    lines = [
        f"{found.decisions} decisions, of them {found.with_symptom} about a program that hurt somebody",
        f"limits: {found.limits_then} as it was, {found.limits_now} under the new policy",
    ]
    for heading, counter in (("would be limited and was not", found.more), ("would not be limited and was", found.less)):
        lines += ["", f"{heading}: {sum(counter.values())}"]
        lines += [f"  {count:>6}  {category:<16}{exe}" for (category, exe), count in counter.most_common(PROGRAMS_SHOWN)]
        if len(counter) > PROGRAMS_SHOWN:
            lines.append(f"          and {len(counter) - PROGRAMS_SHOWN} more programs, see --json")
    lines += ["", f"{'quality':<26}{'as it was':>20}{'new policy':>20}"]
    for then, now in zip(found.quality_then, found.quality_now, strict=True):
        lines.append(f"{then.measure.value.replace('_', ' '):<26}{_rate(then):>20}{_rate(now):>20}")
    if found.protected:
        lines += ["", f"PROTECTED programs would be limited: {', '.join(sorted({exe for _category, exe in found.protected}))}"]
    return lines


def _rate(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return f"not enough data ({rate.samples:g})"
    return f"{100 * rate.value:.0f} % ({100 * rate.low:.0f}-{100 * rate.high:.0f})"
