"""Whether limits may be written: the mode, a person's or an alert's pause, and the file that needs no daemon to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PAUSE_FILE = "paused"  # in the runtime directory: `touch` it to pause, remove it to go on


@dataclass(slots=True)
class Switch:
    """What may act, in force from the moment it is changed."""

    mode: str
    pause_file: Path | None = None
    paused: bool = False
    paused_by_alert: bool = False  # then the alert's end may resume; a person's pause only a person ends
    held: bool = False  # the file is there

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> bool:
        """Look for the file; whether that changed anything. A place that cannot be looked at holds, to be safe."""
        before = self.held
        if self.pause_file is not None:
            try:
                self.pause_file.lstat()
                self.held = True
            except (FileNotFoundError, NotADirectoryError):
                self.held = False
            except OSError:
                self.held = True
        return self.held != before

    @property
    def stopped(self) -> bool:
        """Whether there is a pause, whoever made it."""
        return self.paused or self.held

    @property
    def why_stopped(self) -> str:
        """What ends the pause; "" if there is none."""
        if self.held:
            return f"until {self.pause_file} is removed"
        return "until `brainkernel resume`" if self.paused else ""

    @property
    def in_force(self) -> str:
        """The mode in one word, as the metric labels it."""
        return "paused" if self.stopped else self.mode

    @property
    def enforces(self) -> bool:
        """Whether a limit may be written now."""
        return self.mode == "enforce" and not self.stopped
