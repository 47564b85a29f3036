"""Rows of figures as bytes, and what many rows amount to. Pure.

A row of a second is one 32-bit float per figure, NaN where nothing was measured; a row of a longer step holds `ROLLED`
of them per figure. Rows of before a figure was first kept are shorter.
"""

from __future__ import annotations

import math
from array import array
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PLAIN = 1  # floats per figure of a second
ROLLED = 4  # of a minute or an hour: least, mean, greatest, number of values
_NAN = math.nan


class Point(NamedTuple):
    """What one figure was in one step of time."""

    low: float
    mean: float
    high: float
    samples: int  # behind it


class _Summary(NamedTuple):
    low: float
    mean: float
    high: float
    number: float


def packed(figures: Mapping[str, float], places: Mapping[str, int]) -> array[float]:
    """The row of one second; figures without a place are left out."""
    row = array("f", [_NAN]) * len(places)
    for name, value in figures.items():
        if (place := places.get(name)) is not None:
            row[place] = value
    return row


def unpacked(blob: bytes) -> array[float] | None:
    """The row that these bytes hold; None if they hold none."""
    row = array("f")
    try:
        row.frombytes(blob)
    except (TypeError, ValueError):
        return None
    return row


def rolled_up(rows: Sequence[array[float]], width: int) -> array[float]:
    """The row of a longer step, out of rows of `width` floats per figure."""
    figures = max(map(len, rows), default=0) // width
    nothing = (_NAN, _NAN, _NAN, 0.0)
    return array("f", chain.from_iterable(_summary(rows, place, width) or nothing for place in range(figures)))


def point_of(rows: Sequence[array[float]], place: int, width: int) -> Point | None:
    """What the figure at `place` was over these rows, to six digits; None if it was never measured."""
    found = _summary(rows, place, width)
    if found is None or not all(map(math.isfinite, found)):
        return None
    low, mean, high = (float(f"{value:.6g}") for value in found[:3])  # a 32-bit float has no more, and JSON gets short
    return Point(low, mean, high, round(found.number))


def _summary(rows: Sequence[array[float]], place: int, width: int) -> _Summary | None:
    if width == PLAIN:
        values = [v for row in rows if place < len(row) and (v := row[place]) == v]  # only NaN is not itself
        return _Summary(min(values), sum(values) / len(values), max(values), len(values)) if values else None
    begin, end = place * ROLLED, (place + 1) * ROLLED
    cells = [_Summary(*row[begin:end]) for row in rows if end <= len(row) and row[end - 1] > 0]
    number = sum(cell.number for cell in cells)
    if not cells or not math.isfinite(number):
        return None
    mean = sum(cell.mean * cell.number for cell in cells) / number
    return _Summary(min(cell.low for cell in cells), mean, max(cell.high for cell in cells), number)
