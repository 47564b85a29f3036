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


def adjusted(shipped: bytes, changes: Iterable[tuple[int, int, float]]) -> bytes:
    """The bytes of a model file whose log-odds differ from the shipped one's by `changes`: class, trait, by how much.

    Weights are whole steps; one that reaches the largest stays there. A change that is not finite raises ValueError or OverflowError.
    """
    description, start = described(shipped)
    words = array("Q", shipped[start:])  # little-endian, as in model.py
    for of_class, trait, change in changes:
        place, shift = (of_class // LANES) * BUCKETS + trait, 16 * (of_class % LANES)
        lane = words[place] >> shift & _LANE_MASK
        moved = max(-_LARGEST, min(_LARGEST, lane - MIDDLE + round(change / description.scale))) + MIDDLE
        words[place] += moved - lane << shift
    weights = words.tobytes()
    return file_of(msgspec.json.encode(msgspec.structs.replace(description, version=version_of(weights)), order="deterministic"), weights)
