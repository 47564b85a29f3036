"""Two models that learn as the agent runs: which limits are wrong, and what programs are. A little at each tick.

Shadow first: a candidate judges the newest words beside the model in force, and is taken up, as a version like any other,
only if it is better at 95 % confidence and no protected program is worse off.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.errors import BrainKernelError
from brainkernel.learn.caution import RIGHT, RIGHT_MIN
from brainkernel.learn.drift import Drift, Level
from brainkernel.learning import hearing
from brainkernel.learning.session import Cautious, Classifying, session
from brainkernel.model import Tier
from brainkernel.versioning.source import CAUTION, MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from brainkernel.clock import Clock
    from brainkernel.effective import Arms
    from brainkernel.learn.influence import Word
    from brainkernel.learning.session import Learned, Pupil
    from brainkernel.metrics import Figures
    from brainkernel.model import Decision, Judgement, Suspect, Verdict
    from brainkernel.store import KeptWord, Words

EVERY_NS = 600_000_000_000
MORE_MIN = 16  # new words, before it is worth another session
AFTER_DRIFT_MAX = 128  # the newest words, of which the changed world is learned


class Task(enum.StrEnum):
    """Which model learns."""

    LIMITS = "limits"
    CATEGORIES = "categories"


@dataclass(slots=True)
class _Progress:
    drift: Drift = field(default_factory=Drift)
    seen: int = 0  # the newest word of the last session
    due_ns: int = 0
    drifted: bool = False
    said: str = "has not learned since the start"


class Learner:
    """Call `tick` once per sample: it takes one step of a session, of some milliseconds."""

    def __init__(
        self,
        *,
        words: Words,
        arms: Arms,
        clock: Clock,
        figures: Figures,
        tell: Callable[[str], None],
        propose: Callable[[dict[str, bytes], str], bool],
        model_file: Path,
        panel: Callable[[], Iterable[Word]],
    ) -> None:
        """`propose` keeps and takes up the changed files of a version; `panel` gives protected programs to look after."""
        self._words = words
        self._arms = arms
        self._clock = clock
        self._figures = figures
        self._tell = tell
        self._propose = propose
        self._model_file = model_file
        self._panel = panel
        self._progress = {task: _Progress() for task in Task}
        self._running: tuple[Task, Generator[None, None, Learned | None]] | None = None

    @property
    def enabled(self) -> bool:
        """Whether the configuration wants it."""
        return self._arms.current.standards.config.learning.enabled

    def judged(self, decision: Decision, judgement: Judgement) -> None:
        """Hear a person's word or a measured effect."""
        if not self.enabled:
            return
        weights, rules = self._arms.current.standards.config.quality, self._arms.current.rules.ruleset
        act = hearing.act_word_of(decision, judgement, weights)
        if act is not None:
            predicted = self._arms.standards_of(decision.suspect.identity).caution.share_right(act.traits) >= RIGHT_MIN
            self._hear(Task.LIMITS, act, wrong=predicted is not (act.label == RIGHT))
        category = hearing.category_word_of(decision, judgement, weights, rules)
        if category is not None:
            asked = decision.verdict.tier is Tier.MODEL
            self._hear(Task.CATEGORIES, category, wrong=judgement.category_right is False if asked else None)

    def told(self, suspect: Suspect, verdict: Verdict) -> None:
        """Hear the verdict of a language model that passed its exam."""
        if not self.enabled:
            return
        word = hearing.word_about(suspect, verdict.category, f"llm {verdict.model}", hearing.LLM_WEIGHT, self._arms.current.rules.ruleset)
        if word is not None:
            self._hear(Task.CATEGORIES, word, wrong=None)

    def tick(self) -> None:
        """Take one step, or look whether a session is due."""
        if self._running is not None:
            self._step(*self._running)
            return
        for task, progress in self._progress.items():
            if self.enabled and self._clock.boot_ns() >= progress.due_ns and self._is_due(task, progress):
                self._begin(task, progress)
                return

    def finish(self) -> None:
        """Run every session that is due to its end at once: for replays and tests, where nobody waits."""
        for task, progress in self._progress.items():
            if self._running is None and self._is_due(task, progress):
                self._begin(task, progress)
            while self._running is not None:
                self._step(*self._running)

    def state(self) -> list[str]:
        """How each model's learning stands, in sentences."""
        if not self.enabled:
            return ["learning is turned off (learning.enabled)"]
        return [f"{task}: {self._words.count(task)} words; {progress.said}" for task, progress in self._progress.items()]

    def _hear(self, task: Task, word: KeptWord, *, wrong: bool | None) -> None:
        self._words.save(task, word)
        progress = self._progress[task]
        if wrong is not None and progress.drift.add(wrong=wrong) is Level.DRIFT:
            progress.drifted, progress.due_ns = True, 0
            self._figures.add(metrics.DRIFTS, task.value)
            self._tell(f"{task}: the mistakes have become more than they were; the newest words are learned from at once")

    def _is_due(self, task: Task, progress: _Progress) -> bool:
        progress.due_ns = self._clock.boot_ns() + EVERY_NS
        self._figures.set(metrics.LEARNING_WORDS, self._words.count(task), task.value)
        return progress.drifted or self._words.newest(task) - progress.seen >= MORE_MIN

    def _begin(self, task: Task, progress: _Progress) -> None:
        progress.seen = self._words.newest(task)
        newest = AFTER_DRIFT_MAX if progress.drifted else None
        progress.drifted = False
        try:
            self._running = task, session(self._pupil(task), self._words.all(task), newest)
        except (OSError, BrainKernelError) as error:  # the shipped model is being replaced
            self._conclude(task, "failed", f"could not learn: {error}")

    def _pupil(self, task: Task) -> Pupil:
        if task is Task.LIMITS:
            return Cautious(self._arms.current.standards.caution)
        return Classifying(self._arms.current.model.model, self._model_file.read_bytes(), self._panel)

    def _step(self, task: Task, running: Generator[None, None, Learned | None]) -> None:
        try:
            next(running)
        except StopIteration as end:
            self._running = None
            self._ended(task, end.value)
        except (ValueError, OverflowError, OSError, BrainKernelError) as error:  # weights that diverged, a shipped file that is gone
            self._running = None
            self._conclude(task, "failed", f"could not learn: {error}")

    def _ended(self, task: Task, learned: Learned | None) -> None:
        if learned is None:
            self._conclude(task, "too_few", "too few words to learn from")
            return
        text = learned.comparison.text
        if not learned.comparison.is_better:
            self._conclude(task, "rejected", f"what was learned last is not taken up: {text}")
            return
        taken = self._propose({CAUTION if task is Task.LIMITS else MODEL: learned.data}, f"learned {task}: {text}")
        said = "taken up" if taken else "better, but not taken up now"
        self._conclude(task, "promoted" if taken else "held", f"what was learned last is {said}: {text}")

    def _conclude(self, task: Task, result: str, text: str) -> None:
        self._figures.add(metrics.LEARNING_SESSIONS, task.value, result)
        self._progress[task].said = text
