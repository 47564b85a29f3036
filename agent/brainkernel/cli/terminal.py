"""What is printed: JSON for programs, text and a little colour for people."""

from __future__ import annotations

import os
import shutil
import unicodedata
from typing import Any, TextIO

MIN_WIDTH = 80
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}


class Style:
    """Colours, or none: only on a terminal, and never when NO_COLOR (https://no-color.org) is set."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    @classmethod
    def of(cls, stream: TextIO) -> Style:
        """The style that fits a stream and the environment."""
        return cls(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")

    def paint(self, text: str, colour: str) -> str:
        """Colour a text that is otherwise complete (padded, escaped)."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colour and colour and text.strip() else text


def columns_of(text: str) -> int:
    """How many columns a terminal needs for a text without controls: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def fitted(text: str, width: int, *, keep_end: bool = False) -> str:
    """Exactly `width` columns of a text: padded, or cut with an ellipsis (at the front for paths, whose end tells more)."""
    if (columns := columns_of(text)) <= width:
        return text + " " * (width - columns)
    kept, room = "", width - 1
    for character in reversed(text) if keep_end else text:
        room -= columns_of(character)
        if room < 0:
            break
        kept = character + kept if keep_end else kept + character
    cut = f"…{kept}" if keep_end else f"{kept}…"
    return cut + " " * (width - columns_of(cut))


def width_of(stream: TextIO) -> int:
    """Columns that a line may take: the terminal's, at least 80; where there is no terminal, COLUMNS or 120."""
    if not stream.isatty():
        return max(MIN_WIDTH, int(os.environ["COLUMNS"])) if os.environ.get("COLUMNS", "").isdecimal() else 120
    return max(MIN_WIDTH, shutil.get_terminal_size().columns)


def json_line(value: Any) -> str:
    """A value of the model or of the wire as JSON on one line."""
    import msgspec  # noqa: PLC0415 # --help does not need it

    return msgspec.json.encode(value).decode()


def print_json(value: Any) -> None:
    """Print one result as JSON, indented for the eye."""
    import msgspec  # noqa: PLC0415 # --help needs neither
    import orjson  # noqa: PLC0415

    print(orjson.dumps(msgspec.to_builtins(value), option=orjson.OPT_INDENT_2).decode())
