"""What models can learn from a person's word, a measured effect or an examined language model; and what they must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.classify.facts import Facts
from brainkernel.classify.features import traits_of
from brainkernel.classify.model import CLASSES, may_be_judged
from brainkernel.decide.simulation import PROTECTED
from brainkernel.learn import caution
from brainkernel.learn.quality import weight_of
from brainkernel.model import Category, JudgementSource
from brainkernel.store import KeptWord

if TYPE_CHECKING:
    from brainkernel.classify.ruleset import RuleSet
    from brainkernel.config import Quality
    from brainkernel.model import Decision, Judgement, Suspect

LLM_WEIGHT = 0.5
CONFIRMED_WEIGHT = 0.5  # of a good word that names no category: it praises the decision, and so the verdict a little
LIMITABLE = frozenset(CLASSES) - PROTECTED


def act_word_of(decision: Decision, judgement: Judgement, weights: Quality) -> KeptWord | None:
    """Whether a limit was right, or would have been; None where nobody was hurt or nothing was said of that."""
    if judgement.act_right is None or decision.symptom is None:
        return None
    if judgement.source is JudgementSource.EFFECT and decision.verdict.category is Category.SUSPICIOUS:
        return None  # whether a limit helps is in an attacker's hand: that must not teach us to leave it alone
    limit_right = judgement.act_right is judgement.limited
    return KeptWord(
        source=_source_of(judgement),
        occasion=decision.id,
        subject=caution.subject_of(decision.suspect),
        label=caution.RIGHT if limit_right else caution.WRONG,
        weight=weight_of(judgement.source, weights),
        protected=decision.verdict.category in PROTECTED or judgement.label in PROTECTED,
        traits=caution.traits_of(decision.suspect, decision.verdict, decision.symptom),
    )


def category_word_of(decision: Decision, judgement: Judgement, weights: Quality, rules: RuleSet) -> KeptWord | None:
    """What a program is in a person's eyes; None where nothing was said of that."""
    weight = weight_of(judgement.source, weights)
    if judgement.label is not None:
        return word_about(decision.suspect, judgement.label, _source_of(judgement), weight, rules)
    if judgement.category_right and judgement.source is JudgementSource.FEEDBACK:
        return word_about(decision.suspect, decision.verdict.category, _source_of(judgement), CONFIRMED_WEIGHT * weight, rules)
    return None


def word_about(suspect: Suspect, label: Category, source: str, weight: float, rules: RuleSet) -> KeptWord | None:
    """One source's word about what a program is; None where the local model must not learn from it.

    Nobody's word teaches that what the rules protect may be limited, nor what the model would never be asked.
    """
    if label is Category.UNKNOWN:
        return None
    known = rules.judge(suspect.program, suspect.evidence)
    if known is not None and known.category in PROTECTED and label not in PROTECTED:
        return None
    facts = Facts(suspect.program, suspect.evidence, rules.knowledge)
    if label is not Category.SUSPICIOUS and not may_be_judged(facts, rules.knowledge):
        return None
    subject = caution.subject_of(suspect)
    return KeptWord(
        source=source,
        occasion=subject,
        subject=subject,
        label=CLASSES.index(label),
        weight=weight,
        protected=label in PROTECTED,
        traits=traits_of(facts),
    )


def _source_of(judgement: Judgement) -> str:
    return judgement.source.value if judgement.uid is None else f"uid {judgement.uid}"
