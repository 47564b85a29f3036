"""A model's text made into verdicts, or refused. Pure, and never raises: the text is anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from brainkernel.escape import escaped
from brainkernel.gateway.llm.failure import Cause
from brainkernel.link.messages import ProposedVerdict
from brainkernel.model import Category

MAX_TEXT_CHARS = 64 << 10
MAX_REASON_CHARS = 512  # of link.messages.ShortText
_KEYS: Final = frozenset({"n", "reason", "category", "confidence"})
_CATEGORIES: Final = {c.value: c for c in Category}


@dataclass(frozen=True, slots=True)
class Reading:
    """One entry per question, None where it is not usable; `cause` says why, if any is not."""

    verdicts: tuple[ProposedVerdict | None, ...]
    cause: Cause | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing at all could be used."""
        return all(v is None for v in self.verdicts)


def read_answer(text: str, count: int) -> Reading:
    """Read the answer to `count` questions.

    An envelope that is wrong spoils all verdicts, as does a number of entries other than `count` or an entry out of
    place, for then it is not certain which program any of them means. A wrong entry spoils itself.
    """
    entries = _entries_of(text)
    if isinstance(entries, Cause):
        return Reading((None,) * count, entries)
    in_place = all(not isinstance(entry, dict) or entry.get("n") == number for number, entry in enumerate(entries, start=1))
    if len(entries) != count or not in_place:
        return Reading((None,) * count, Cause.COUNT_MISMATCH)
    verdicts = tuple(_verdict_of(entry) for entry in entries)
    return Reading(verdicts, Cause.WRONG_SCHEMA if None in verdicts else None)


def _entries_of(text: str) -> list[Any] | Cause:
    if len(text) > MAX_TEXT_CHARS:
        return Cause.TOO_LARGE
    try:
        parsed = json.loads(text, object_pairs_hook=_object_of, parse_constant=_refuse)
    except _DuplicateKeyError:
        return Cause.WRONG_SCHEMA
    except (ValueError, RecursionError):
        return Cause.NOT_JSON
    if not isinstance(parsed, dict) or parsed.keys() != {"verdicts"} or not isinstance(parsed["verdicts"], list):
        return Cause.WRONG_SCHEMA
    return parsed["verdicts"]


class _DuplicateKeyError(ValueError):
    pass


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _DuplicateKeyError
    return made


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity: Python's json takes them, JSON has no such thing


def _verdict_of(entry: object) -> ProposedVerdict | None:
    if not isinstance(entry, dict) or entry.keys() != _KEYS:
        return None
    category, confidence, reason = entry["category"], entry["confidence"], entry["reason"]
    if not isinstance(category, str) or category not in _CATEGORIES or isinstance(entry["n"], bool):
        return None
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        return None
    if not isinstance(reason, str) or len(reason) > MAX_REASON_CHARS:
        return None
    return ProposedVerdict(_CATEGORIES[category], float(confidence), escaped(reason)[:MAX_REASON_CHARS])
