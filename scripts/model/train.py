"""Train the local model and write its file; say how well it does on what it never saw.

Stochastic gradient descent on the log loss in plain Python: the same inputs give the same bytes, on every machine
with IEEE 754. The temperature is fitted and the thresholds are chosen on the calibration part alone.
"""

from __future__ import annotations

import argparse
import math
import random
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import examples
import msgspec
from brainkernel.classify.facts import Facts
from brainkernel.classify.features import BUCKETS, traits_of
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.model import CLASSES, LANES, MIDDLE, WORDS, Description, file_of, may_be_judged, version_of
from brainkernel.model import Category

SEED = 20261123
EPOCHS = 6
FIRST_STEP, LAST_STEP = 0.12, 0.01
DECAY = 2e-6  # of a weight at each touch: rare traits stay small
USES_OF = {  # how many uses of one program are invented: kinds with few programs get more
    Category.SYSTEM_CRITICAL: 20, Category.SERVICE: 5, Category.BACKGROUND: 5, Category.INTERACTIVE: 2, Category.DEVELOPMENT: 2, Category.BLOATWARE: 1,
}  # fmt: skip
LARGEST_WEIGHT = 127
PROTECTED = (Category.SYSTEM_CRITICAL, Category.INTERACTIVE, Category.SERVICE)
# Of the answers in a category, how many must be right on the calibration part; of those that are slowed or reported, more.
PRECISION = {
    Category.SYSTEM_CRITICAL: 0.95, Category.INTERACTIVE: 0.95, Category.SERVICE: 0.95, Category.DEVELOPMENT: 0.95,
    Category.BACKGROUND: 0.98, Category.BLOATWARE: 0.98, Category.SUSPICIOUS: 1.0,
}  # fmt: skip
HARM_MAX = 0.005  # of protected programs called background, bloatware or suspicious
SLOWED = (Category.BACKGROUND, Category.BLOATWARE, Category.SUSPICIOUS)
NEVER = 2.0
# On 583 harmless and 345 hostile command lines that it never saw, it found 2 attacks that the rules miss and raised 7 false alarms.
LOWEST = {Category.SUSPICIOUS: NEVER, Category.BACKGROUND: 0.85, Category.BLOATWARE: 0.85}
SUSPICIOUS = CLASSES.index(Category.SUSPICIOUS)


@dataclass(slots=True)
class Row:
    """One example, hashed."""

    traits: list[int]
    label: int | None  # None: anything but suspicious
    part: int
    weight: float
    right: frozenset[int] = frozenset()
    judged: bool = True  # False: the tier would answer nothing but a suspicion

    @property
    def by_people(self) -> bool:
        """Whether a person wrote it, rather than a generator."""
        return self.weight > 1


class Answer(NamedTuple):
    """What the model says of one example of the calibration part."""

    got: int
    sure: float
    row: Row


def rows_of(knowledge: Knowledge, labelled: Path) -> list[Row]:
    """Make all examples."""
    found = [e for path, package, c in examples.programs_of(knowledge) for e in examples.invented(path, package, c, USES_OF[c])]
    found += examples.vendors_own()
    found += examples.of_rules()
    for _, example in examples.labelled(labelled):
        found += examples.elsewhere(example) if example.part != examples.HELD_OUT else ()
    return [row_of(e, knowledge) for e in found]


def row_of(example: examples.Example, knowledge: Knowledge) -> Row:
    """Hash one example."""
    facts = Facts(example.suspect.program, example.suspect.evidence, knowledge)
    label = example.label
    right = set(Category) - {Category.SUSPICIOUS, Category.UNKNOWN} if label is None else {label, *example.also_right}
    return Row(
        traits=traits_of(facts),
        label=None if label is None else CLASSES.index(label),
        part=example.part,
        weight=example.weight,
        right=frozenset(map(CLASSES.index, right)),
        judged=may_be_judged(facts, knowledge),
    )


def trained(rows: list[Row]) -> list[list[float]]:
    """Fit one weight per class and bucket."""
    weights = [[0.0] * BUCKETS for _ in CLASSES]
    draw = random.Random(SEED)  # noqa: S311 # reproducible, not secret
    steps, done = EPOCHS * len(rows), 0
    order = list(range(len(rows)))
    for _ in range(EPOCHS):
        draw.shuffle(order)
        for number in order:
            row = rows[number]
            rate = FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (done / steps)
            done += 1
            shares = softmax([sum(map(w.__getitem__, row.traits)) for w in weights])
            for of_class, gradient in zip(weights, gradients(shares, row.label), strict=True):
                if abs(gradient) > 0.001:  # noqa: PLR2004 # too little to move anything
                    change = rate * row.weight * gradient / math.sqrt(len(row.traits))
                    for bucket in row.traits:
                        of_class[bucket] += change - DECAY * of_class[bucket]
    return weights


def gradients(shares: list[float], label: int | None) -> list[float]:
    """Towards the label; for a harmless example towards what the model itself thinks of it without a suspicion."""
    if label is not None:
        return [(1.0 if c == label else 0.0) - share for c, share in enumerate(shares)]
    rest = max(1e-9, 1 - shares[SUSPICIOUS])
    return [(-share if c == SUSPICIOUS else share / rest - share) for c, share in enumerate(shares)]


def softmax(sums: list[float]) -> list[float]:
    """Shares that sum to one."""
    most = max(sums)
    shares = [math.exp(s - most) for s in sums]
    whole = math.fsum(shares)
    return [s / whole for s in shares]


def quantised(weights: list[list[float]]) -> tuple[list[list[int]], float]:
    """Weights as whole steps of one size, the largest thousandth cut off."""
    sizes = sorted(abs(w) for of_class in weights for w in of_class if w)
    step = sizes[int(0.9995 * len(sizes))] / LARGEST_WEIGHT
    return [[max(-LARGEST_WEIGHT, min(LARGEST_WEIGHT, round(w / step))) for w in of_class] for of_class in weights], step


def temperature_of(sums: list[tuple[list[float], int]]) -> float:
    """The temperature that makes the calibration part likeliest."""

    def loss(temperature: float) -> float:
        return -math.fsum(math.log(max(1e-12, softmax([s / temperature for s in values])[label])) for values, label in sums)

    return min((t / 100 for t in range(60, 400, 5)), key=loss)


def thresholds_of(answers: list[Answer]) -> dict[Category, float]:
    """The lowest threshold of each category that keeps its precision, among what people wrote as among what was invented.

    Then those of the slowed categories rise until harm is low enough.
    """
    chosen = {}
    for index, category in enumerate(CLASSES):
        mine = [a for a in answers if a.got == index and (a.row.judged or category is Category.SUSPICIOUS)]
        lowest = max(_threshold([a for a in mine if a.row.by_people is by_people], index) for by_people in (True, False))
        chosen[category] = round(max(lowest, LOWEST.get(category, 0.7)), 4)
    protected = [a for a in answers if a.row.label is not None and CLASSES[a.row.label] in PROTECTED]
    while True:
        harm = sum(CLASSES[a.got] in SLOWED and a.sure >= chosen[CLASSES[a.got]] for a in protected)
        if harm <= HARM_MAX / 2 * len(protected):  # half of it: the calibration part is not the world
            return chosen
        for category in (Category.BACKGROUND, Category.BLOATWARE):
            chosen[category] = round(min(NEVER, chosen[category] + 0.005), 4)


def _threshold(answers: list[Answer], index: int) -> float:
    best, right = (1.0 if answers else 0.0), 0
    for count, answer in enumerate(sorted(answers, key=lambda a: -a.sure), start=1):
        right += index in answer.row.right
        if right >= PRECISION[CLASSES[index]] * count:
            best = answer.sure
    return best


def words_of(steps: list[list[int]]) -> bytes:
    """Both tables of the file: four classes in a word, the first in its lowest 16 bits."""
    tables = []
    for word in range(WORDS):
        lanes = [steps[c] if c < len(steps) else [0] * BUCKETS for c in range(word * LANES, (word + 1) * LANES)]
        values = (sum((lane[bucket] + MIDDLE) << (16 * n) for n, lane in enumerate(lanes)) for bucket in range(BUCKETS))
        tables.append(b"".join(struct.pack("<Q", value) for value in values))
    return b"".join(tables)


def main() -> None:
    """Train, calibrate, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--labelled", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows = rows_of(Knowledge(), arguments.labelled)
    learned = [r for r in rows if r.part not in (examples.CALIBRATION, examples.HELD_OUT)]
    steps, step = quantised(trained(learned))

    def sums_of(row: Row) -> list[float]:
        return [step * sum(map(of_class.__getitem__, row.traits)) for of_class in steps]

    calibration = [r for r in rows if r.part == examples.CALIBRATION]
    temperature = temperature_of([(sums_of(r), r.label) for r in calibration if r.label is not None])
    answers = []
    for row in calibration:
        shares = softmax([s / temperature for s in sums_of(row)])
        answers.append(Answer(shares.index(max(shares)), max(shares), row))
    words = words_of(steps)
    description = Description(version=version_of(words), scale=step / temperature, thresholds=thresholds_of(answers))
    arguments.output.write_bytes(file_of(msgspec.json.encode(description, order="deterministic"), words))
    labels = Counter("harmless" if r.label is None else CLASSES[r.label].value for r in learned)
    print(f"{len(learned)} examples learned from: {dict(labels.most_common())}")
    print(f"{len(calibration)} calibrate: temperature {temperature}, {description}")


if __name__ == "__main__":
    main()
