"""What differs between two versions, in words: settings by their names, rules line by line, models by their weights."""

from __future__ import annotations

import difflib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from brainkernel.classify.model import described
from brainkernel.escape import escaped
from brainkernel.learn.caution import CautionFile
from brainkernel.versioning.source import CAUTION, MODEL, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Difference:
    """One file of a version that is not the same in another."""

    name: str
    lines: tuple[str, ...]


def compare(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> list[Difference]:
    """All differences from `a` to `b`, by file. Raises ValueError or MsgspecError for a damaged one."""
    names = sorted(name for name in {*a, *b} if a.get(name) != b.get(name))
    return [Difference(name, tuple(_lines(name, a.get(name, b""), b.get(name, b"")))) for name in names]


def _lines(name: str, a: bytes, b: bytes) -> Iterator[str]:
    if name.startswith(RULES):
        before, after = (data.decode("utf-8", "surrogateescape").splitlines() for data in (a, b))
        yield from (escaped(line) for line in list(difflib.unified_diff(before, after, lineterm="", n=1))[2:])
    elif name == MODEL:
        yield _models(a, b)
    elif name == CAUTION:
        yield _cautions(a, b)
    else:
        yield from _settings(*(dict(_flat(msgspec.json.decode(data), "")) for data in (a, b)))


def _models(a: bytes, b: bytes) -> str:
    (was, start_a), (now, start_b) = described(a), described(b)
    moved = sum(x != y for x, y in zip(array("Q", a[start_a:]), array("Q", b[start_b:]), strict=True))
    return f"local model {was.version}, then {now.version}; {moved} words of weights differ"


def _cautions(a: bytes, b: bytes) -> str:
    was, now = (msgspec.json.decode(data, type=CautionFile).weights for data in (a, b))
    moved = sum(was.get(trait) != now.get(trait) for trait in {*was, *now})
    return f"what is known of wrong limits: {len(was)} traits, then {len(now)}; {moved} differ"


def _settings(was: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            yield f"{key}: {was.get(key, 'not there')} -> {now.get(key, 'not there')}"


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value
