"""What is printed: JSON for programs, text and a little colour for people."""

from __future__ import annotations

import os
import shutil
import sys
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


def width_of(stream: TextIO) -> int:
    """Columns that a line may take: the terminal's, at least 80; where there is no terminal, COLUMNS or 120."""
    if not stream.isatty():
        return max(MIN_WIDTH, int(os.environ["COLUMNS"])) if os.environ.get("COLUMNS", "").isdecimal() else 120
    return max(MIN_WIDTH, shutil.get_terminal_size().columns)


def print_json(value: Any, *, indent: bool = True, stream: TextIO | None = None) -> None:
    """Print a value of the model or of the wire as JSON: indented for one result, one line for one of many."""
    import msgspec  # noqa: PLC0415 # --help needs none of it
    import orjson  # noqa: PLC0415

    text = orjson.dumps(msgspec.to_builtins(value), option=orjson.OPT_INDENT_2 if indent else None).decode()
    print(text, file=stream or sys.stdout, flush=not indent)
