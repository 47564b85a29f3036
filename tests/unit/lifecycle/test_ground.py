"""What the whole agent stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.clock import SimulatedClock
from brainkernel.composition.ground import NOTICES_MAX, Ground, Paths
from brainkernel.config import Config
from brainkernel.report import Everybody

if TYPE_CHECKING:
    from pathlib import Path


def test_notices_are_bounded(tmp_path: Path) -> None:
    """A reload each minute that fails for a year fills no memory; the latest are kept."""
    ground = Ground(Config(), Paths(state_dir=tmp_path, runtime_dir=tmp_path), SimulatedClock(), Everybody(()))

    for number in range(3 * NOTICES_MAX):
        ground.notice(f"refused {number}")

    assert (len(ground.notices), ground.notices[-1]) == (NOTICES_MAX, f"refused {3 * NOTICES_MAX - 1}")
