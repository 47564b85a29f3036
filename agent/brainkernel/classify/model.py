"""The local model: multinomial logistic regression over hashed traits, in plain Python and without a dependency.

It says what programs look like that no rule and no package knows. Its weights are one file, made by
`scripts/train model`, read where they lie; its confidence is calibrated, and below a category's threshold it passes.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zlib import crc32

import msgspec
from msgspec import Meta

from brainkernel.classify.facts import Facts
from brainkernel.classify.features import BUCKETS, traits_of
from brainkernel.errors import ConfigError
from brainkernel.model import Category, Mark, Tier, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from brainkernel.classify.knowledge import Knowledge
    from brainkernel.model import Suspect

SHIPPED_FILE = Path(__file__).parent / "model.bin"
MAGIC = b"BKMODL01"
CLASSES = tuple(c for c in Category if c is not Category.UNKNOWN)
LANES = 4  # of 16 bits in a word of 64, each holding a weight of 8 bits: one sum then adds four classes at once
MIDDLE = 128  # a stored weight less this is the weight
WORDS = 2  # per bucket: seven classes, and one lane that stays empty
_HEADER = struct.Struct("<8sI")
_TABLE_BYTES = BUCKETS * WORDS * 8
_LANE_MASK = 0xFFFF

# With one of these a program hides something: only a suspicion is believed of it, and the rest is left to the LLM.
_HIDING = frozenset({Mark.DELETED, Mark.MEMFD, Mark.WORLD_WRITABLE_DIR, Mark.HIDDEN_DIR, Mark.ARGV0_MISMATCH})


class Description(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What stands before the weights: how sums become probabilities, and how sure an answer must be."""

    version: Annotated[str, Meta(max_length=32)]
    scale: Annotated[float, Meta(gt=0)]  # of one step of a stored weight, already divided by the temperature
    thresholds: dict[Category, float]  # above 1: never answered


class LocalModel:
    """The weights and what is made of them."""

    def __init__(self, source: Path | bytes = SHIPPED_FILE) -> None:
        """Map a file, or take the bytes of one. Raises ConfigError if that is no such model, or damaged."""
        try:
            # Looked through as a copy: pages of the mapping that were read would be ours for as long as we run.
            data: bytes | mmap.mmap = source if isinstance(source, bytes) else source.read_bytes()
            self.description, start = described(data)
            if version_of(data[start:]) != self.description.version:
                msg = "its weights are damaged"
                raise ValueError(msg)  # noqa: TRY301 # one message for all that can be wrong with it
            if isinstance(source, Path):
                with source.open("rb") as stream:
                    data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError, struct.error, msgspec.MsgspecError) as error:
            where = "the model" if isinstance(source, bytes) else str(source)
            msg = f"{where}: not a local model ({error}); rebuild it with scripts/train model"
            raise ConfigError(msg) from None
        words = memoryview(data)[start:].cast("Q")  # little-endian, as all hosts are that we build BPF for
        self._low = words[:BUCKETS]
        self._high = words[BUCKETS:]

    def probabilities(self, traits: Sequence[int]) -> list[float]:
        """The calibrated probability of each of `CLASSES`."""
        low, high = sum(map(self._low.__getitem__, traits)), sum(map(self._high.__getitem__, traits))
        zero, scale = MIDDLE * len(traits), self.description.scale
        sums = [scale * ((word >> (16 * lane) & _LANE_MASK) - zero) for word in (low, high) for lane in range(LANES)][: len(CLASSES)]
        most = max(sums)
        shares = [math.exp(s - most) for s in sums]
        whole = math.fsum(shares)
        return [share / whole for share in shares]

    def answer(self, traits: Sequence[int]) -> tuple[Category, float] | None:
        """The likeliest category and how sure that is; None if it is not sure enough for that category."""
        probabilities = self.probabilities(traits)
        confidence = max(probabilities)
        category = CLASSES[probabilities.index(confidence)]
        return None if confidence < self.description.thresholds.get(category, 2.0) else (category, confidence)


class ModelTier:
    """Implements `tiers.Judge`: answers where the model is sure enough for that category, else passes."""

    tier = Tier.MODEL

    def __init__(self, model: LocalModel, knowledge: Knowledge) -> None:
        self.model = model
        self._knowledge = knowledge

    def judge(self, suspect: Suspect) -> Verdict | None:
        """Give the likeliest category if its threshold is reached."""
        facts = Facts(suspect.program, suspect.evidence, self._knowledge)
        if (answer := self.model.answer(traits_of(facts))) is None:
            return None
        category, confidence = answer
        if category is not Category.SUSPICIOUS and not may_be_judged(facts, self._knowledge):
            return None
        return Verdict(
            category=category,
            confidence=round(confidence, 3),
            tier=Tier.MODEL,
            reason=f"no rule knows it; by its name, arguments, ancestors and place it looks like {category.value.replace('_', ' ')}",
            model=f"local/{self.model.description.version}",
        )


def may_be_judged(facts: Facts, knowledge: Knowledge) -> bool:
    """Whether an answer other than `suspicious` may be given: there is a file to judge, and nothing is hidden.

    Nor is it a file that the distribution ships for several uses (ls, tar): of those no example says what they are.
    """
    if not facts.target.startswith("/") or facts.target_is_told or not _HIDING.isdisjoint(facts.marks):
        return False
    known = knowledge.find(facts.target)
    return known is None or known.category is not Category.UNKNOWN


def described(data: bytes | mmap.mmap) -> tuple[Description, int]:
    """What stands before the weights, and where these begin. Raises ValueError, struct.error or MsgspecError for another format."""
    magic, length = _HEADER.unpack_from(data)
    description = msgspec.json.decode(data[_HEADER.size : _HEADER.size + length], type=Description)
    start = start_of_weights(length)
    if magic != MAGIC or len(data) != start + _TABLE_BYTES:
        msg = "another format"
        raise ValueError(msg)
    return description, start


def version_of(words: bytes) -> str:
    """The name of a model: a checksum of the words of both tables, so that a damaged one is not taken for it."""
    return f"{crc32(words):08x}"


def start_of_weights(description_length: int) -> int:
    """Where the weights begin: behind header and description, at a multiple of 8 bytes."""
    return -(-(_HEADER.size + description_length) // 8) * 8


def file_of(description: bytes, words: bytes) -> bytes:
    """Put a file together from a description in JSON and the words of both tables."""
    start = start_of_weights(len(description))
    return (_HEADER.pack(MAGIC, len(description)) + description).ljust(start, b"\0") + words
