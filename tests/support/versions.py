"""Versions in a directory of their own: files that a person edits, a clock, and a list of what was said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from brainkernel import config as configuration
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.model import SHIPPED_FILE
from brainkernel.clock import SimulatedClock
from brainkernel.learn.caution import CautionFile
from brainkernel.metrics import Figures
from brainkernel.store.versionfiles import VersionFiles
from brainkernel.versioning.shelf import Shelf
from brainkernel.versioning.source import CAUTION, Places
from brainkernel.versioning.versioning import Outward, Versioning
from support.nouns import a_suspect
from support.stores import NOON_NS

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.effective import Effective
    from brainkernel.model import AuditEntry, Category

RULE = """
rules:
  - id: {0}
    category: {1}
    confidence: 0.95
    reason: a test
    match: {{exe: /opt/{0}}}
"""
EMPTY_KNOWLEDGE = Knowledge(None)
LEARNED = {CAUTION: msgspec.json.encode(CautionFile({7: (1.0, -1.0)}))}


@dataclass
class Etc:
    """A host's files, and the versions that an agent makes of them."""

    root: Path
    model_file: Path = SHIPPED_FILE
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(offset_to_wall_ns=NOON_NS))
    told: list[str] = field(default_factory=list)
    logged: list[AuditEntry] = field(default_factory=list)
    changed: list[Effective] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self.rules.mkdir(parents=True, exist_ok=True)
        if not self.toml.exists():
            self.write_config("")
            self.write_rule("index", "background")

    @property
    def toml(self) -> Path:
        return self.root / "brainkernel.toml"

    @property
    def rules(self) -> Path:
        return self.root / "rules.d"

    @property
    def files(self) -> VersionFiles:
        return VersionFiles(self.root / "state/versions")

    def write_config(self, text: str) -> None:
        self.toml.write_text(text)

    def write_rule(self, name: str, category: str) -> None:
        (self.rules / f"{name}.yaml").write_text(RULE.format(name, category))

    def start(self) -> Versioning:
        """What a start of the agent does."""
        places = Places(
            read_config=lambda: configuration.load(self.toml),
            knowledge=EMPTY_KNOWLEDGE,
            model_file=self.model_file,
            rule_directories=(self.rules,),
        )
        outward = Outward(tell=self.told.append, log=self.logged.append, changed=self.changed.append)
        return Versioning(Shelf(self.files, places), self.clock, self.figures, outward)


def index_is(versioning: Versioning) -> Category | None:
    """What the rules in force say of /opt/index."""
    verdict = versioning.arms.judge_by_rules(a_suspect("/opt/index"))
    return verdict.category if verdict else None
