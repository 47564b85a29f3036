"""How much each word may move a model: no single voice, and nobody loud, can turn it. Pure.

What is said of one program by one source counts as at most `SUBJECT_MAX` words however often it is said, and all that
one source says as at most `SOURCE_MAX` words, or as many as all others together say. Of what a program *is*, the newest word of each
source counts, and where the sources do not agree by two thirds nothing is learned of that program at all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUBJECT_MAX = 2.0
SOURCE_MAX = 128.0
AGREEMENT_MIN = 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word to learn from: what a source says of a subject, as a class of the model's."""

    id: int  # in order of arrival: clocks jump
    subject: int  # digest of the program
    source: str  # "uid 0", "effect", "llm groq/llama"
    label: int
    weight: float
    traits: Sequence[int]
    protected: bool = False  # known to be what must not be limited


def bounded(words: Iterable[Word]) -> list[Word]:
    """The words with the weights that they may have, oldest first."""
    kept = sorted(words, key=lambda word: word.id)
    of_subject: Counter[tuple[str, int]] = Counter()
    for word in kept:
        of_subject[word.source, word.subject] += word.weight  # type: ignore[assignment] # weights are fractions
    kept = [replace(word, weight=word.weight * _cut(of_subject[word.source, word.subject], SUBJECT_MAX)) for word in kept]
    of_source: Counter[str] = Counter()
    for word in kept:
        of_source[word.source] += word.weight  # type: ignore[assignment]
    whole = of_source.total()
    cuts = {source: _cut(said, max(SOURCE_MAX, whole - said)) for source, said in of_source.items()}
    return [replace(word, weight=word.weight * cuts[word.source]) for word in kept]


def _cut(said: float, most: float) -> float:
    return min(1.0, most / said) if said else 1.0


def agreed(words: Iterable[Word]) -> list[Word]:
    """The newest word of each source about each subject, where the sources agree; of the others nothing."""
    newest: dict[tuple[str, int], Word] = {}
    for word in sorted(words, key=lambda word: word.id):
        newest[word.source, word.subject] = word
    votes: dict[int, Counter[int]] = {}
    for word in newest.values():
        votes.setdefault(word.subject, Counter())[word.label] += word.weight  # type: ignore[assignment] # weights are fractions
    winners = {
        subject: label
        for subject, of_subject in votes.items()
        for label, weight in of_subject.most_common(1)
        if weight >= AGREEMENT_MIN * of_subject.total()
    }
    return [word for word in newest.values() if winners.get(word.subject) == word.label]
