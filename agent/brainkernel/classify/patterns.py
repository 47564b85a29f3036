"""Regular expressions that are compiled when first needed.

A host meets few of the programs that the shipped rules speak of; compiling for the others took a fifth of the start, and 3 MB.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def search_of(texts: list[str]) -> Callable[[str], re.Match[str] | None]:
    """Find any of these alternatives anywhere in a text. What is no regular expression raises re.error, when first used."""
    return _late(texts[0] if len(texts) == 1 else "|".join(f"(?:{text})" for text in texts), "search")


def glob_of(texts: list[str]) -> Callable[[str], bool]:
    """Match path globs: `*` stays inside a component, `**` does not, `?` is one character."""
    plain = frozenset(text for text in texts if "*" not in text and "?" not in text)
    globs = [text for text in texts if text not in plain]
    if not globs:
        return plain.__contains__
    starts = tuple({re.split(r"[*?]", glob)[0] for glob in globs})  # told apart by how they begin, most paths need no regex
    match = _late("|".join(map(_regex_of_glob, globs)), "fullmatch")
    return lambda path: path in plain or (path.startswith(starts) and match(path) is not None)


def _late(text: str, method: str) -> Callable[[str], re.Match[str] | None]:
    compiled: Callable[[str], re.Match[str] | None] | None = None

    def match(subject: str) -> re.Match[str] | None:
        nonlocal compiled
        if compiled is None:
            compiled = getattr(re.compile(text), method)
        return compiled(subject)

    return match


def _regex_of_glob(glob: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    return "".join({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(p, re.escape(p)) for p in parts)
