"""How likely a limit is right, learned from what earlier limits did and what people said of them.

A logistic model over what a decision looks like: the program and where it comes from, the verdict and who gave it, the
harm. Nothing learned means: likely right. It can only object to a limit, never cause one; a person's feedback, an undo
and a limit that helped nobody teach it caution about programs *like* that one, after the memory of that one has faded.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated
from zlib import crc32

import msgspec
from msgspec import Meta

from brainkernel.errors import ConfigError
from brainkernel.learn.softmax import softmax
from brainkernel.model import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from brainkernel.model import Suspect, Symptom, Verdict

TRAITS = 4_096
WRONG, RIGHT = 0, 1
PRIOR = (0.0, 2.0)  # log-odds: before anything is learned nine limits of ten are right
RIGHT_MIN = 0.5
WEIGHT_MAX = 20.0
_FIRST_HUMAN_UID = 1000  # of Debian's login.defs
_NUMBER = re.compile(r"\d+")
_BANDS_PCT = (10, 25, 50, 100, 200, 400)


class CautionFile(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What was learned, as it is kept: trait -> weights of wrong and right."""

    weights: Annotated[dict[int, tuple[float, float]], Meta(max_length=TRAITS)] = {}


class Caution:
    """The model in force."""

    def __init__(self, kept: CautionFile | None = None) -> None:
        self._weights = dict((kept or CautionFile()).weights)

    @classmethod
    def of(cls, data: bytes, where: str) -> Caution:
        """Read what `encoded` wrote. Raises ConfigError for what is damaged, infinite or not a number."""
        try:
            kept = msgspec.json.decode(data, type=CautionFile)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            msg = f"{where}: not what was learned of limits ({error})"
            raise ConfigError(msg) from None
        for trait, weights in kept.weights.items():
            if not 0 <= trait < TRAITS or not all(abs(weight) <= WEIGHT_MAX for weight in weights):
                msg = f"{where}: trait {trait}: a weight is not a number of at most {WEIGHT_MAX:g}"
                raise ConfigError(msg)
        return cls(kept)

    def share_right(self, traits: Iterable[int]) -> float:
        """How likely a limit with these traits is right."""
        sums = list(PRIOR)
        for trait in traits:
            wrong, right = self._weights.get(trait, (0.0, 0.0))
            sums[WRONG] += wrong
            sums[RIGHT] += right
        return softmax(sums)[RIGHT]

    def objection(self, suspect: Suspect, verdict: Verdict, symptom: Symptom) -> Refusal | None:
        """What was learned against such a limit, None if nothing."""
        if not self._weights:
            return None
        right = self.share_right(traits_of(suspect, verdict, symptom))
        if right >= RIGHT_MIN:
            return None
        return Refusal(
            rule="learned", reason=f"resembles what was limited wrongly before: such a limit is right {100 * right:.0f} times of 100"
        )


def encoded(changes: Iterable[tuple[int, int, float]]) -> bytes:
    """What was learned (class, trait, weight) as a file. Raises ValueError for a weight that is not finite."""
    weights: dict[int, list[float]] = {}
    for label, trait, weight in changes:
        if not math.isfinite(weight):
            msg = f"trait {trait} has the weight {weight}"
            raise ValueError(msg)
        weights.setdefault(trait, [0.0, 0.0])[label] = round(max(-WEIGHT_MAX, min(WEIGHT_MAX, weight)), 6)
    kept = CautionFile({trait: (of_trait[WRONG], of_trait[RIGHT]) for trait, of_trait in sorted(weights.items())})
    return msgspec.json.encode(kept)


def traits_of(suspect: Suspect, verdict: Verdict, symptom: Symptom) -> list[int]:
    """The numbers of a decision's traits, each once."""
    return list({crc32(text.encode("utf-8", "surrogatepass")) % TRAITS: None for text in _traits(suspect, verdict, symptom)})


def subject_of(suspect: Suspect) -> int:
    """The program that a word is about, as 31 bits; scripts are programs of their own."""
    text = f"{suspect.program.exe}\0{suspect.evidence.script}"
    return crc32(text.encode("utf-8", "surrogatepass")) >> 1


def _traits(suspect: Suspect, verdict: Verdict, symptom: Symptom) -> Iterator[str]:
    program, evidence = suspect.program, suspect.evidence
    directory, _, name = program.exe.rpartition("/")
    yield f"category {verdict.category}"
    yield f"tier {verdict.tier} {verdict.category}"
    yield f"sure {verdict.category} {min(1.0, verdict.confidence):.1f}"
    yield f"rule {verdict.rule} {verdict.model}"
    yield f"exe {program.exe}"
    yield f"name {name}"
    yield f"directory {directory}"
    if evidence.script:
        yield f"script {evidence.script}"
    yield f"parent {program.parents[0].rpartition('/')[2] if program.parents else ''}"
    yield f"user {'root' if program.uid == 0 else 'system' if program.uid < _FIRST_HUMAN_UID else 'human'}"
    if evidence.unit:
        yield f"unit {_NUMBER.sub('0', evidence.unit.name)}"
        yield f"slice {_NUMBER.sub('0', evidence.unit.slice)}"
    if evidence.package:
        yield f"package {evidence.package.name}"
        yield f"section {evidence.package.section}"
    yield f"unowned {evidence.unowned} session {bool(evidence.session)} terminal {bool(evidence.tty)}"
    yield f"cpu {_band(symptom.target_cpu_pct)}"
    yield f"pressure {_band(symptom.pressure_pct)}"
    for victim in symptom.victims[:1]:
        yield f"victim {victim.comm}"
        yield f"waits {_band(victim.wait_pct)}"


def _band(pct: float) -> int:
    return sum(pct >= edge for edge in _BANDS_PCT)
