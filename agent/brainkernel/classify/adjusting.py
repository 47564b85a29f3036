"""What a model learned on this host, put into a file of the same form as the shipped one: the weights move, all else stays."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import msgspec

from brainkernel.classify.features import BUCKETS
from brainkernel.classify.model import LANES, MIDDLE, described, file_of, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_LARGEST = 127  # steps: a lane holds MIDDLE plus or minus this
_LANE_MASK = 0xFFFF


class Adjusting:
    """A model file in the making: `move` may be called piece by piece, since all of it takes a quarter of a second."""

    def __init__(self, shipped: bytes) -> None:
        self._description, start = described(shipped)
        self._words = array("Q", shipped[start:])  # little-endian, as in model.py

    def move(self, changes: Iterable[tuple[int, int, float]]) -> None:
        """Change the log-odds by class, trait and by how much. Weights are whole steps; one that reaches the largest stays there.

        A change that is not finite raises ValueError or OverflowError.
        """
        words, scale = self._words, self._description.scale
        for of_class, trait, change in changes:
            place, shift = (of_class // LANES) * BUCKETS + trait, 16 * (of_class % LANES)
            lane = words[place] >> shift & _LANE_MASK
            moved = max(-_LARGEST, min(_LARGEST, lane - MIDDLE + round(change / scale))) + MIDDLE
            words[place] += moved - lane << shift

    def file(self) -> bytes:
        """The bytes of the file."""
        weights = self._words.tobytes()
        description = msgspec.structs.replace(self._description, version=version_of(weights))
        return file_of(msgspec.json.encode(description, order="deterministic"), weights)
