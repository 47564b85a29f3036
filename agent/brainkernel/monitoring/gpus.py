"""What the GPUs do, where the driver tells it in /sys (amdgpu: Documentation/gpu/amdgpu/thermal.rst and driver-misc.rst)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from brainkernel import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.metrics import Figures

CARDS_MAX = 8
_CARD = re.compile(r"card\d{1,3}")


class Gpus:
    """Sets the gauges of each card that was there at the start; other drivers tell nothing without a library of their vendor."""

    def __init__(self, sys: Path, figures: Figures) -> None:
        self._cards = sorted(_cards_in(sys / "class/drm"))[:CARDS_MAX]
        self._figures = figures

    def read(self) -> None:
        """Read all cards."""
        for card in self._cards:
            if (busy := _number(card / "device/gpu_busy_percent")) is not None:
                self._figures.set(metrics.GPU_BUSY, min(100, busy) / 100, card.name)
            for state in ("total", "used"):
                if (size := _number(card / f"device/mem_info_vram_{state}")) is not None:
                    self._figures.set(metrics.GPU_MEMORY, size, card.name, state)


def _cards_in(folder: Path) -> Iterator[Path]:
    try:
        found = list(folder.iterdir())
    except OSError:
        return
    yield from (card for card in found if _CARD.fullmatch(card.name) and (card / "device/gpu_busy_percent").exists())


# A card that sleeps answers EPERM or nothing.
def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
