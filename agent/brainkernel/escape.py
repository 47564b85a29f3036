"""Hostile text made safe to show, to store and to quote."""

from __future__ import annotations

import re
from typing import Any

# C0 and C1 controls, zero-width and bidi controls, line and paragraph separators, lone surrogates (bytes that
# were not UTF-8), the BOM and the tag characters that some models read though no terminal shows them.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_BACKSLASH_OR_UNSAFE = re.compile(rf"\\|{_UNSAFE.pattern}")


def escaped(text: str, max_length: int = 4096) -> str:
    r"""Show every control, bidi, zero-width and undecodable character as `\xNN` or `\uNNNN`, and cut to length.

    A byte that was not UTF-8 (surrogateescape) shows as that byte. A backslash is doubled, so that what is shown
    cannot pretend to be an escape of ours.
    """
    if text.isprintable() and "\\" not in text and len(text) <= max_length:
        return text  # nearly all of it is; nothing that is unsafe is printable
    shown = _BACKSLASH_OR_UNSAFE.sub(_escape_one, text[:max_length])
    return shown if len(text) <= max_length else f"{shown}... ({len(text)} characters)"


def shown(text: str) -> str:
    """Escape what is unsafe and leave backslashes alone: for text that was escaped already (by the store, the daemon)."""
    return _UNSAFE.sub(_escape_one, text)


def escaped_all(value: Any, max_length: int = 4096) -> Any:
    """`escaped` for every string in a tree of JSON types; keys are ours and stay."""
    if isinstance(value, str):
        return escaped(value, max_length)
    if isinstance(value, dict):
        return {k: escaped_all(v, max_length) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [escaped_all(v, max_length) for v in value]
    return value


def _escape_one(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 # PEP 383: byte b is U+DC00 + b
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:  # noqa: PLR2004 # Latin-1
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 # the basic plane
