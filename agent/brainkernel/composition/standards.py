"""What decides, and how it becomes better: the versions, and what makes new ones of what was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.alertactions import Deed
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.model import SHIPPED_FILE
from brainkernel.learning.learner import Learner
from brainkernel.learning.panel import protected_programs
from brainkernel.versioning import answering
from brainkernel.versioning.offline import files_of
from brainkernel.versioning.shelf import Shelf
from brainkernel.versioning.source import Places
from brainkernel.versioning.takingback import TakingBack
from brainkernel.versioning.trial import Tally, Trial, wrong_by_version
from brainkernel.versioning.versioning import Outward, Versioning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from brainkernel.commands import Command
    from brainkernel.composition.ground import Ground
    from brainkernel.config import Config
    from brainkernel.effective import Effective
    from brainkernel.learn.quality import Rate
    from brainkernel.model import Decision, Judgement, Suspect, Symptom, Verdict
    from brainkernel.store import Store

    Decide = Callable[[Suspect, Verdict, Symptom | None], Decision]


class Improving:
    """Puts a version in force at once; `ground.config` is that version's from then on. Raises ConfigError."""

    def __init__(self, ground: Ground, store: Store, read_config: Callable[[], Config], changed: Callable[[Effective], None]) -> None:
        places = Places(read_config=read_config, knowledge=Knowledge(), model_file=SHIPPED_FILE)
        shelf = Shelf(files_of(ground.paths.state_dir), places)
        outward = Outward(tell=ground.outside.notice, log=store.audit.add, changed=changed)
        self.versioning = Versioning(shelf, ground.clock, ground.figures, outward)
        self.arms = self.versioning.arms
        ground.config = self.arms.current.standards.config
        self.learner = Learner(
            words=store.words,
            arms=self.arms,
            clock=ground.clock,
            figures=ground.figures,
            tell=ground.outside.notice,
            propose=self.versioning.propose,
            model_file=SHIPPED_FILE,
            panel=lambda: protected_programs(places.knowledge),
        )
        self.tally = Tally()
        self._judgements = store.judgements
        self._taking_back = TakingBack(self.versioning, self.wrong_limits, ground.clock)
        self._trial = Trial(self.versioning, store.judgements.all, ground.clock)

    def judged(self, decision: Decision, judgement: Judgement) -> None:
        """Keep a word about a decision, and learn from it."""
        self._judgements.save(judgement)
        self.learner.judged(decision, judgement)

    @property
    def taking_back(self) -> Deed:
        """What an alert may do about the latest change."""
        return Deed(self._taking_back.do, self._taking_back.undo)

    def tick(self) -> None:
        """Once per sample."""
        self.versioning.tick()
        self._trial.tick()
        self._taking_back.tick()
        self.learner.tick()

    def decide(self, decide: Decide) -> Decide:
        """Have decisions counted by the version that made them."""

        def counted(suspect: Suspect, verdict: Verdict, symptom: Symptom | None) -> Decision:
            decision = decide(suspect, verdict, symptom)
            self.tally.decided(decision)
            return decision

        return counted

    def wrong_limits(self) -> dict[int, Rate]:
        """The share of wrong limits of each version."""
        return wrong_by_version(self._judgements.all(), self.arms.current.standards.config.quality)

    def commands(self) -> Mapping[str, Command]:
        """What people may ask of versions."""
        return answering.commands_of(self.versioning, self.tally, self.wrong_limits, self.learner.state)
