"""The model's frozen dataclasses as JSON and back: the one place where the store spells them.

Text is escaped on its way in (`brainkernel.escape`): what is on the disk is always UTF-8, safe to show, and
bounded, however a process named itself. Paths that must be found again are not text but keys: `path_value`
keeps them byte for byte.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import orjson

from brainkernel.escape import escaped_all

T = TypeVar("T")

TEXT_MAX = 4096  # characters of one string: PATH_MAX, and more of one argument than anybody reads
ARGV_TEXT_MAX = 32_768  # characters of all arguments together: a page of `list` must stay small
_SIGN_BIT = 1 << 63
_WORD = 1 << 64


class UnreadableError(ValueError):
    """A stored value is not what was written: the row is skipped and counted, its neighbours are still good."""


def encode(value: Any) -> bytes:
    """Spell a value of the model (dataclasses, enums, sets, numbers) as JSON, its text escaped and bounded."""
    return orjson.dumps(escaped_all(msgspec.to_builtins(value), TEXT_MAX))


def decode(data: bytes, schema: type[T]) -> T:
    """Read what `encode` wrote. Raises UnreadableError when the bytes are damaged or of another schema."""
    try:
        return msgspec.convert(orjson.loads(data), schema)
    except (orjson.JSONDecodeError, msgspec.ValidationError, RecursionError, TypeError) as error:
        msg = f"stored {getattr(schema, '__name__', schema)}: {error}"
        raise UnreadableError(msg) from None


def bounded_argv(argv: tuple[str, ...], max_chars: int = ARGV_TEXT_MAX) -> tuple[str, ...]:
    """The leading arguments that fit into `max_chars`, then a note of how many were left out."""
    kept: list[str] = []
    room = max_chars
    for argument in argv:
        room -= min(len(argument), TEXT_MAX) + 4  # quotes and comma of JSON
        if room < 0:
            return (*kept, f"... ({len(argv) - len(kept)} more arguments)")
        kept.append(argument)
    return argv


def path_value(path: str) -> str | bytes:
    """A path as an SQLite value that compares and reads back exactly: TEXT when it is UTF-8, else its bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")
    return path


def path_of(value: str | bytes) -> str:
    """Undo `path_value`."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def signed64(number: int) -> int:
    """An unsigned 64-bit number (an inode of overlayfs uses the top bits) as SQLite's signed one."""
    return number - _WORD if number >= _SIGN_BIT else number


def unsigned64(number: int) -> int:
    """Undo `signed64`."""
    return number + _WORD if number < 0 else number
