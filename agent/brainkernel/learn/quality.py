"""How right the decisions were, from what people said and what was measured. Pure but for what it remembers; bounded.

Each decision has at most one vote per question: that of the heaviest source, and of the newest among equals. A vote
counts as much as its source's weight, so forty measured effects at weight 0.25 make ten samples.

    correct_classification  right categories                       / categories that were judged
    false_positive          limits that should not have been       / limits that were judged
    false_negative          left alone what should be limited      / all that should be limited and was judged
    satisfaction            times a person was content             / times a person said something or undid a limit

The share of false positives is that of the limits, not of all that was rightly left alone: nobody judges what runs in
peace, so that number is not known.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.model import Decision, DecisionKind, Feedback, Judgement, JudgementSource, Outcome

if TYPE_CHECKING:
    from brainkernel.config import Quality
    from brainkernel.model import ExamResult

HOUR_NS = 3_600_000_000_000
WINDOWS_NS = {"1h": HOUR_NS, "24h": 24 * HOUR_NS, "7d": 168 * HOUR_NS}  # shortest first
TOTAL = "total"
UNDO_WITHIN_NS = 600_000_000_000  # an undo later than this says that the need is over, not that the limit was wrong
VOTES_MAX = 4_096
Z_95 = 1.959964
_EXAM_RIGHT, _EXAM_WRONG = -1, -2  # in the place of a decision's id


class Measure(enum.StrEnum):
    """What is asked of the decisions."""

    CORRECT_CLASSIFICATION = "correct_classification"
    FALSE_POSITIVE = "false_positive"
    FALSE_NEGATIVE = "false_negative"
    SATISFACTION = "satisfaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One measure over one window. `value` and its 95 % interval are None where there is not enough data."""

    measure: Measure
    window: str
    samples: float
    value: float | None = None
    low: float | None = None
    high: float | None = None


class _Question(enum.Enum):
    CATEGORY = enum.auto()
    ACT = enum.auto()
    CONTENT = enum.auto()


class _Vote(NamedTuple):
    time_ns: int
    weight: float
    answers: tuple[tuple[int, bool], ...]  # which measure it counts for, as its place in `Measure`, and whether it is a hit


class Evaluator:
    """Collects judgements; `rates` says what they amount to."""

    def __init__(self, config: Quality) -> None:
        self.config = config
        self._votes: OrderedDict[tuple[int, _Question], _Vote] = OrderedDict()

    def add(self, judgement: Judgement) -> None:
        """Take one word about one decision."""
        weight = weight_of(judgement.source, self.config)
        words = (
            (_Question.CATEGORY, judgement.category_right),
            (_Question.ACT, judgement.act_right),
            (_Question.CONTENT, judgement.content),
        )
        for question, right in words:
            if right is not None and weight > 0:
                answers = _answers(question, right=right, limited=judgement.limited)
                self._vote((judgement.decision_id, question), _Vote(judgement.time_ns, weight, answers))

    def examined(self, result: ExamResult) -> None:
        """Take the last exam of a language model in the place of the one before: what it got right, and wrong, of its answers."""
        answered = result.asked * result.measures.get("answered", 0.0)
        right = answered * result.measures.get("accuracy", 0.0)
        weight, place = weight_of(JudgementSource.EXAM, self.config), _PLACES[Measure.CORRECT_CLASSIFICATION]
        for key, count, hit in ((_EXAM_RIGHT, right, True), (_EXAM_WRONG, answered - right, False)):
            self._votes.pop((key, _Question.CATEGORY), None)
            if count * weight > 0:
                self._vote((key, _Question.CATEGORY), _Vote(result.time_ns, count * weight, ((place, hit),)))

    def rates(self, now_ns: int) -> tuple[Rate, ...]:
        """Every measure over every window and in total. `now_ns` is CLOCK_REALTIME; words from a future clock are new."""
        hour_ns, day_ns, week_ns = WINDOWS_NS.values()
        measures = len(Measure)
        # Per window the hits, then the weights, of each measure: plain loops, since the daemon's own loop waits for them.
        tallies = [[0.0] * (2 * measures) for _ in (*WINDOWS_NS, TOTAL)]
        for time_ns, weight, answers in self._votes.values():
            age_ns = now_ns - time_ns
            tally = tallies[0 if age_ns <= hour_ns else 1 if age_ns <= day_ns else 2 if age_ns <= week_ns else 3]
            for place, hit in answers:
                if hit:
                    tally[place] += weight
                tally[measures + place] += weight
        rates = []
        sums = [0.0] * (2 * measures)
        for window, tally in zip((*WINDOWS_NS, TOTAL), tallies, strict=True):
            sums = [a + b for a, b in zip(sums, tally, strict=True)]
            rates += [self._rate(m, window, sums[place], sums[measures + place]) for place, m in enumerate(Measure)]
        return tuple(rates)

    def _vote(self, key: tuple[int, _Question], vote: _Vote) -> None:
        if (earlier := self._votes.get(key)) is not None and earlier.weight > vote.weight:
            return
        self._votes[key] = vote
        self._votes.move_to_end(key)
        if len(self._votes) > VOTES_MAX:
            self._votes.popitem(last=False)

    def _rate(self, measure: Measure, window: str, hits: float, samples: float) -> Rate:
        if samples < self.config.min_samples:
            return Rate(measure=measure, window=window, samples=samples)
        low, high = wilson(hits, samples)
        return Rate(measure=measure, window=window, samples=samples, value=hits / samples, low=low, high=high)


_PLACES = {measure: place for place, measure in enumerate(Measure)}


def _answers(question: _Question, *, right: bool, limited: bool) -> tuple[tuple[int, bool], ...]:
    wrong_limit, missed_limit = _PLACES[Measure.FALSE_POSITIVE], _PLACES[Measure.FALSE_NEGATIVE]
    if question is _Question.CATEGORY:
        return ((_PLACES[Measure.CORRECT_CLASSIFICATION], right),)
    if question is _Question.CONTENT:
        return ((_PLACES[Measure.SATISFACTION], right),)
    if limited:
        return ((wrong_limit, False), (missed_limit, False)) if right else ((wrong_limit, True),)
    return () if right else ((missed_limit, True),)


def weight_of(source: JudgementSource, config: Quality) -> float:
    """How much a word of this source counts."""
    weights = {
        JudgementSource.FEEDBACK: config.feedback_weight,
        JudgementSource.UNDO: config.undo_weight,
        JudgementSource.EFFECT: config.effect_weight,
        JudgementSource.LABELS: config.labels_weight,
        JudgementSource.EXAM: config.exam_weight,
    }
    return weights[source]


def wilson(hits: float, samples: float) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): unlike the textbook's, it never leaves [0, 1] and is honest near its ends."""
    share = min(1.0, hits / samples)
    z2n = Z_95 * Z_95 / samples
    middle = (share + z2n / 2) / (1 + z2n)
    half = Z_95 * math.sqrt(share * (1 - share) / samples + z2n / (4 * samples)) / (1 + z2n)
    return max(0.0, middle - half), min(1.0, middle + half)


def judgement_of_feedback(decision: Decision, said: Feedback) -> Judgement:
    """What a person's word says. Where nobody was hurt, only the category can have been right or wrong."""
    category_right = said.label is decision.verdict.category if said.label is not None else (True if said.good else None)
    only_noted = decision.kind is DecisionKind.NOTE
    if only_noted and said.label is None:
        category_right = said.good
    return Judgement(
        time_ns=said.time_ns,
        decision_id=decision.id,
        source=JudgementSource.FEEDBACK,
        limited=decision.kind in (DecisionKind.LIMIT, DecisionKind.PENDING),
        act_right=None if only_noted else said.good,
        category_right=category_right,
        content=said.good,
        label=said.label,
        uid=said.uid,
    )


def judgement_of_undo(decision: Decision, undone_ns: int) -> Judgement | None:
    """What a person's undo at `undone_ns` (CLOCK_REALTIME) says; None if it came too late to say anything."""
    if undone_ns - decision.time_ns > UNDO_WITHIN_NS:
        return None
    source = JudgementSource.UNDO
    return Judgement(time_ns=undone_ns, decision_id=decision.id, source=source, limited=True, act_right=False, content=False)


def judgement_of_effect(outcome: Outcome, measured_ns: int) -> Judgement:
    """What the measured effect of a limit says."""
    source = JudgementSource.EFFECT
    return Judgement(time_ns=measured_ns, decision_id=outcome.action_id, source=source, limited=True, act_right=outcome.helped)
