"""Hypothesis strategies for the nouns: any value that the types allow, hostile text among it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

# Bytes that were not UTF-8 come as lone surrogates; controls, bidi and tags are what terminals and models fall for.
_NASTY = st.sampled_from(["\udc80", "\udcff", "\x1b", "\x00", "\n", "\u202e", "\U000e0041", "\\", '"', "é", "漢", "\ufeff"])
any_text = st.text(st.characters(exclude_categories=()) | _NASTY, max_size=20) | _NASTY
SAFE_TEXT = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"), exclude_characters="\\\u00a0\u202f\u2007"), max_size=20
).filter(lambda text: all(c == " " or not c.isspace() for c in text))
_INTEGERS = st.integers(0, (1 << 63) - 1)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def any_of(noun: type[T], text: SearchStrategy[str] = any_text) -> SearchStrategy[T]:
    """Any value of a noun of the model, a dataclass or a Struct."""
    hints = get_type_hints(noun)
    return st.builds(noun, **{name: _of(hints[name], text) for name in _fields_of(noun)})


def _fields_of(noun: type[Any]) -> list[str]:
    if issubclass(noun, msgspec.Struct):
        return list(noun.__struct_fields__)
    return [f.name for f in fields(noun)]


def _of(hint: Any, text: SearchStrategy[str]) -> SearchStrategy[Any]:
    plain = {str: text, int: _INTEGERS, float: _FLOATS, bool: st.booleans(), NoneType: st.none()}
    if hint in plain:
        return plain[hint]
    if is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        return any_of(hint, text)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    inner = [_of(a, text) for a in get_args(hint) if a is not Ellipsis]
    if get_origin(hint) in (Union, UnionType):
        return st.one_of(*inner)
    if get_origin(hint) is tuple:
        return st.lists(inner[0], max_size=3).map(tuple)
    if get_origin(hint) is frozenset:
        return st.frozensets(inner[0], max_size=3)
    msg = f"no strategy for {hint}"
    raise TypeError(msg)
