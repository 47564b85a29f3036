"""What decides, and how it becomes better: the versions, and what makes new ones of what was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.model import SHIPPED_FILE
from brainkernel.learning.learner import Learner
from brainkernel.learning.panel import protected_programs
from brainkernel.store.versionfiles import VersionFiles
from brainkernel.versioning.shelf import Shelf
from brainkernel.versioning.source import Places
from brainkernel.versioning.versioning import Outward, Versioning

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.composition.ground import Ground
    from brainkernel.config import Config
    from brainkernel.effective import Effective
    from brainkernel.model import Decision, Judgement
    from brainkernel.store import Store

DIRECTORY = "versions"  # of the state directory


class Improving:
    """Puts a version in force at once; `ground.config` is that version's from then on. Raises ConfigError."""

    def __init__(self, ground: Ground, store: Store, read_config: Callable[[], Config], changed: Callable[[Effective], None]) -> None:
        places = Places(read_config=read_config, knowledge=Knowledge(), model_file=SHIPPED_FILE)
        shelf = Shelf(VersionFiles(ground.paths.state_dir / DIRECTORY), places)
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
        self._judgements = store.judgements

    def judged(self, decision: Decision, judgement: Judgement) -> None:
        """Keep a word about a decision, and learn from it."""
        self._judgements.save(judgement)
        self.learner.judged(decision, judgement)

    def tick(self) -> None:
        """Once per sample."""
        self.versioning.tick()
        self.learner.tick()
