"""Logistic regression that learns on top of a model that is there already: the loss is the log loss, the step a minibatch.

Inputs are the numbers of the traits that an example has. What is learned is added to the log-odds of the model below, so
that nothing learned means exactly that model. Plain Python; a minibatch of a hundred traits in seven classes takes 5 ms.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEARNING_RATE = 0.01
MINIBATCH = 32
EPOCHS = 8
_FLAT = 0.001  # a gradient that moves nothing
_PRIME = 7_919  # strides through the examples: minibatches are mixed, and the same ones give the same weights


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn. `base` is what the model below says of it, as logarithms of odds or of probabilities."""

    traits: Sequence[int]
    label: int
    weight: float
    base: Sequence[float]


class Softmax:
    """Weights per class and trait, all zero at first: `classes * traits` floats of 4 bytes."""

    def __init__(self, classes: int, traits: int) -> None:
        self.classes = classes
        self.traits = traits
        self._weights = array("f", bytes(4 * classes * traits))

    def sums(self, traits: Sequence[int], base: Sequence[float]) -> list[float]:
        """The log-odds of each class."""
        weights, size = self._weights, self.traits
        return [
            below + math.fsum(weights[place + trait] for trait in traits) for below, place in zip(base, self._places(size), strict=True)
        ]

    def shares(self, traits: Sequence[int], base: Sequence[float]) -> list[float]:
        """The probability of each class."""
        return softmax(self.sums(traits, base))

    def learn(self, batch: Sequence[Example], rate: float = LEARNING_RATE) -> None:
        """Take one step down the gradient of a minibatch's loss."""
        steps = [(example, self._gradient(example)) for example in batch]  # all before the first one moves a weight
        weights, size = self._weights, self.traits
        for example, gradient in steps:
            for place, slope in zip(self._places(size), gradient, strict=True):
                if abs(slope) > _FLAT:
                    change = rate * slope
                    for trait in example.traits:
                        weights[place + trait] += change

    def changes(self) -> Iterator[tuple[int, int, float]]:
        """What was learned: class, trait and the weight, where that is not zero."""
        for place, weight in enumerate(self._weights):
            if weight:
                yield *divmod(place, self.traits), weight

    def _gradient(self, example: Example) -> list[float]:
        shares = self.shares(example.traits, example.base)
        return [example.weight * ((1.0 if c == example.label else 0.0) - share) for c, share in enumerate(shares)]

    def _places(self, size: int) -> range:
        return range(0, self.classes * size, size)


def minibatches(examples: Sequence[Example], epochs: int = EPOCHS) -> Iterator[list[Example]]:
    """The examples in minibatches, `epochs` times over, in a mixed order that is the same each time."""
    count = len(examples)
    stride = _PRIME if count % _PRIME else 1
    order = [number * stride % count for number in range(count)]
    for _ in range(epochs):
        for start in range(0, count, MINIBATCH):
            yield [examples[place] for place in order[start : start + MINIBATCH]]


def softmax(sums: Sequence[float]) -> list[float]:
    """Shares that add up to one."""
    most = max(sums)
    shares = [math.exp(value - most) for value in sums]
    whole = math.fsum(shares)
    return [share / whole for share in shares]
