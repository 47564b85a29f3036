"""What every part stands on: the places, the clock, the configuration in force, the figures, and who is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel import metrics

if TYPE_CHECKING:
    from brainkernel.clock import Clock
    from brainkernel.config import Config
    from brainkernel.report import Report

NOTICES_MAX = 32  # a status shows them all: the oldest are of a past that nobody asks about


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Every place outside the process that the agent touches."""

    state_dir: Path
    runtime_dir: Path
    config_file: Path | None = None
    root: Path = Path("/")

    @property
    def proc(self) -> Path:
        """The proc file system."""
        return self.root / "proc"

    @property
    def sys(self) -> Path:
        """The sys file system."""
        return self.root / "sys"


@dataclass(slots=True)
class Ground:
    """Shared by all groups of parts; `config` is replaced when it is read again."""

    config: Config
    paths: Paths
    clock: Clock
    outside: Report
    figures: metrics.Figures = field(default_factory=metrics.Figures)
    notices: list[str] = field(default_factory=list)

    def notice(self, text: str) -> None:
        """Tell those who listen now, and those who ask for the status later."""
        self.notices.append(text)
        del self.notices[:-NOTICES_MAX]
        self.outside.notice(text)
