"""Shell text cut into simple commands and words, with where each stood; nothing is expanded."""

from __future__ import annotations

import re
from typing import NamedTuple

# One step of the scanner: blanks, an operator, a quoted run, an escaped character, or plain characters. No two
# alternatives begin alike, so it never goes back.
_STEP = re.compile(
    r"(?P<blank>[ \t]+)|(?P<operator>[;&|()\n`]+|<<<)|'(?P<single>[^']*+)'|\"(?P<double>(?:[^\"\\]|\\.)*+)\"|\\(?P<escaped>.)|(?P<plain>[^\s;&|()`'\"\\<]+|[<\\'\"\r\v\f]|\s)",
    re.DOTALL,
)
_DOUBLE_ESCAPE = re.compile(r"\\([\"\\$`\n])")


class Word(NamedTuple):
    """One word: what the program would get, and the slice of the text it came from."""

    value: str
    start: int
    end: int
    quote: str  # the quote around the whole of it, or ""


class Command(NamedTuple):
    """One simple command, and the operator before it: "|" is the reader of the previous one, "<<<" its input."""

    words: list[Word]
    operator: str


def commands_of(text: str) -> list[Command]:
    """Cut shell text at operators and blanks. An unclosed quote stands for itself, as in prose."""
    commands = [Command([], "")]
    pieces: list[str] = []
    start = -1
    quotes: list[str] = []
    for step in _STEP.finditer(text):
        kind = step.lastgroup
        if kind in ("blank", "operator"):
            if start >= 0:
                commands[-1].words.append(_word(text, pieces, start, step.start(), quotes))
                pieces, start, quotes = [], -1, []
            if kind == "operator":
                commands.append(Command([], step["operator"].strip() or "\n"))
            continue
        start = step.start() if start < 0 else start
        quotes.append("'" if kind == "single" else '"' if kind == "double" else "")
        pieces.append(_DOUBLE_ESCAPE.sub(r"\1", step["double"]) if kind == "double" else step[kind or "plain"])
    if start >= 0:
        commands[-1].words.append(_word(text, pieces, start, len(text), quotes))
    return [c for c in commands if c.words]


def _word(text: str, pieces: list[str], start: int, end: int, quotes: list[str]) -> Word:
    whole = quotes[0] if len(quotes) == 1 and text[start:end][:1] == quotes[0] else ""
    return Word("".join(pieces), start, end, whole)
