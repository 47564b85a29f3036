"""One session of learning, in steps of a few milliseconds: train on the older words, compare on the newer, and say what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

from brainkernel.classify.adjusting import Adjusting
from brainkernel.classify.features import BUCKETS
from brainkernel.classify.model import CLASSES, LocalModel
from brainkernel.learn import caution
from brainkernel.learn.caution import Caution
from brainkernel.learn.influence import Word, agreed, bounded
from brainkernel.learn.shadow import HELD_OUT_SHARE, Comparison, compare
from brainkernel.learn.softmax import Example, Softmax, minibatches
from brainkernel.learning.hearing import LIMITABLE
from brainkernel.model import JudgementSource

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from brainkernel.store import KeptWord

T = TypeVar("T")

TRAIN_MIN = 32
STEP_WORDS, STEP_CHANGES = 64, 8_192  # judged, and written, at once


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of a session: the bytes of a candidate's file, and how it did."""

    data: bytes
    comparison: Comparison


class Pupil(Protocol):
    """What differs between the models that learn."""

    def heard(self, words: Iterable[Word]) -> list[Word]:
        """The words with the influence they may have, oldest first."""
        ...

    def fresh(self) -> Softmax:
        """The regression before it learned anything."""
        ...

    def base(self, traits: Sequence[int]) -> Sequence[float]:
        """What the model below it says."""
        ...

    def file_of(self, learner: Softmax) -> Generator[None, None, bytes]:
        """A candidate's file, in steps. Raises ValueError for weights that are no numbers."""
        ...

    def scores(self, data: bytes) -> Callable[[Word], tuple[float, float]]:
        """How right a candidate and the model in force are about a word, more is better."""
        ...

    def harms(self, data: bytes) -> Callable[[Word], bool]:
        """Whether a candidate would have a protected program limited that the model in force leaves alone."""
        ...

    def panel(self) -> Iterable[Word]:
        """Further protected programs, of which no candidate may think worse."""
        ...


def session(pupil: Pupil, kept: Iterable[KeptWord], newest: int | None = None) -> Generator[None, None, Learned | None]:
    """Learn; yields between steps, returns None where there are too few words. `newest`: of these only so many."""
    words = pupil.heard(word_of(word) for word in kept)
    words = words[-newest:] if newest else words
    if len(words) < TRAIN_MIN:
        return None
    split = len(words) - int(len(words) * HELD_OUT_SHARE)
    yield
    learner = pupil.fresh()
    examples = []
    for number, word in enumerate(words[:split]):
        examples.append(Example(word.traits, word.label, word.weight, pupil.base(word.traits)))
        if number % STEP_WORDS == STEP_WORDS - 1:
            yield
    for batch in minibatches(examples):
        learner.learn(batch)
        yield
    data = yield from pupil.file_of(learner)
    yield
    scores = yield from _mapped(pupil.scores(data), words[split:])
    protected = [word for word in words if word.protected]
    yield
    harmed = yield from _mapped(pupil.harms(data), [*protected, *pupil.panel()])
    return Learned(data, compare(scores, sum(harmed)))


def _mapped(judge: Callable[[Word], T], words: Sequence[Word]) -> Generator[None, None, list[T]]:
    found = []
    for number, word in enumerate(words):
        found.append(judge(word))
        if number % STEP_WORDS == STEP_WORDS - 1:
            yield
    return found


def word_of(kept: KeptWord) -> Word:
    """A kept word as the models take it."""
    return Word(
        id=kept.id,
        subject=kept.subject,
        source=kept.source,
        label=kept.label,
        weight=kept.weight,
        traits=kept.traits,
        protected=kept.protected,
    )


class Cautious:
    """The model that objects to limits. Everything protected that it objected to, it must object to still."""

    def __init__(self, in_force: Caution) -> None:
        self._in_force = in_force

    def heard(self, words: Iterable[Word]) -> list[Word]:
        """Each word for itself: the same limit may be right at night and wrong by day.

        That a limit helped those who waited does not say that it hit the right program: where a person spoke of one,
        what was measured of it says nothing more.
        """
        known = [word for word in words if word.label in (caution.WRONG, caution.RIGHT)]
        spoken_of = {word.subject for word in known if word.source != JudgementSource.EFFECT}
        return bounded(word for word in known if word.source != JudgementSource.EFFECT or word.subject not in spoken_of)

    def fresh(self) -> Softmax:
        """Two classes."""
        return Softmax(2, caution.TRAITS)

    def base(self, _traits: Sequence[int]) -> Sequence[float]:
        """Likely right."""
        return caution.PRIOR

    def file_of(self, learner: Softmax) -> Generator[None, None, bytes]:
        """As JSON: small, and so in one step."""
        yield
        return caution.encoded(learner.changes())

    def scores(self, data: bytes) -> Callable[[Word], tuple[float, float]]:
        """1 where the model and the word agree."""
        candidate, in_force = Caution.of(data, "the candidate"), self._in_force

        def judged(word: Word) -> tuple[float, float]:
            right = word.label == caution.RIGHT
            return float(_allows(candidate, word) is right), float(_allows(in_force, word) is right)

        return judged

    def harms(self, data: bytes) -> Callable[[Word], bool]:
        """It would let pass what the one in force stops."""
        candidate, in_force = Caution.of(data, "the candidate"), self._in_force
        return lambda word: word.label == caution.WRONG and _allows(candidate, word) and not _allows(in_force, word)

    def panel(self) -> Iterable[Word]:
        """It can only object: who is not among the words is no worse off."""
        return ()


def _allows(model: Caution, word: Word) -> bool:
    return model.share_right(word.traits) >= caution.RIGHT_MIN


class Classifying:
    """The local model, on top of the shipped one."""

    def __init__(self, in_force: LocalModel, shipped: bytes, panel: Callable[[], Iterable[Word]]) -> None:
        self._in_force = in_force
        self._shipped = shipped
        self._below = LocalModel(shipped)
        self._panel = panel

    def heard(self, words: Iterable[Word]) -> list[Word]:
        """Of each program what its sources agree on."""
        return bounded(agreed(word for word in words if 0 <= word.label < len(CLASSES) and len(word.traits) > 0))

    def fresh(self) -> Softmax:
        """One class per category."""
        return Softmax(len(CLASSES), BUCKETS)

    def base(self, traits: Sequence[int]) -> Sequence[float]:
        """The shipped model's answer."""
        return [math.log(max(share, 1e-12)) for share in self._below.probabilities(traits)]

    def file_of(self, learner: Softmax) -> Generator[None, None, bytes]:
        """The shipped file with other weights."""
        adjusting, changes = Adjusting(self._shipped), learner.changes()
        while piece := list(islice(changes, STEP_CHANGES)):
            adjusting.move(piece)
            yield
        return adjusting.file()

    def scores(self, data: bytes) -> Callable[[Word], tuple[float, float]]:
        """1 for a right answer, 0 for none, -1 for a wrong one."""
        candidate, in_force = LocalModel(data), self._in_force
        return lambda word: (_score(candidate, word), _score(in_force, word))

    def harms(self, data: bytes) -> Callable[[Word], bool]:
        """It calls something limitable that the one in force does not."""
        candidate, in_force = LocalModel(data), self._in_force
        return lambda word: _limitable(candidate, word) and not _limitable(in_force, word)

    def panel(self) -> Iterable[Word]:
        """The programs of the exam that must not be limited."""
        return self._panel()


def _score(model: LocalModel, word: Word) -> float:
    answer = model.answer(word.traits)
    return 0.0 if answer is None else 1.0 if CLASSES.index(answer[0]) == word.label else -1.0


def _limitable(model: LocalModel, word: Word) -> bool:
    answer = model.answer(word.traits)
    return answer is not None and answer[0] in LIMITABLE
