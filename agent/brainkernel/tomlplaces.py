"""On which line of a TOML text something stands, for messages: tomllib does not tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def line_of_key(text: str, path: list[str]) -> int:
    """The line on which a dotted key of a TOML text is set, for messages; its table's line, or 1, if not found."""
    best = 1
    for number, prefix, line in _lines_with_table(text):
        key = re.match(r"\s*([\w.\-\"']+)\s*=", line)
        full = [*prefix, *(key[1].replace('"', "").replace("'", "").split(".") if key else [])]
        if full == path:
            return number
        if full and full == path[: len(full)]:
            best = number
    return best


def _lines_with_table(text: str) -> Iterator[tuple[int, list[str], str]]:
    prefix: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line):
            prefix = [p.strip().strip("\"'") for p in header[1].split(".")]
        yield number, prefix, line
