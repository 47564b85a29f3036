"""Files of JSON lines on the command line: `-` is stdin or stdout, and an output appears whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from brainkernel.errors import PermissionDeniedError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def add_input(parser: argparse.ArgumentParser, what: str) -> None:
    """`--input`: records, one JSON object a line."""
    parser.add_argument("--input", default="-", metavar="F", help=f"{what}, one JSON object a line; - is stdin (default: -)")


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """`--output`: where results go."""
    parser.add_argument("--output", default="-", metavar="F", help=f"{what}; - is stdout (default: -)")


@contextlib.contextmanager
def opened_input(name: str) -> Iterator[BinaryIO]:
    """Open an input. Raises UsageError or PermissionDeniedError."""
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 # closed below; only the opening is guarded
    except PermissionError:
        msg = f"{name}: not permitted to read it"
        raise PermissionDeniedError(msg) from None
    except OSError as error:
        msg = f"{name}: {error.strerror}"
        raise UsageError(msg) from None
    with file:
        yield file


@contextlib.contextmanager
def opened_output(name: str, *, private: bool = False) -> Iterator[BinaryIO]:
    """Open an output. A file is written beside its place and moved there at the end, so a failure leaves the old one.

    `private`: for its owner alone. Raises UsageError or PermissionDeniedError.
    """
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(name)
    if target.exists() and not target.is_file():  # /dev/null, a pipe: nothing to replace
        with target.open("wb") as file:
            yield file
        return
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except PermissionError:
        msg = f"{name}: not permitted to write there"
        raise PermissionDeniedError(msg) from None
    except OSError as error:
        msg = f"{name}: {error.strerror}"
        raise UsageError(msg) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        if not private:
            Path(temporary).chmod(0o644 & ~_umask())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def as_text(file: BinaryIO) -> Iterator[TextIO]:
    """The same file as text; bytes that are not UTF-8 become lone surrogates. It stays open."""
    text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="\n")
    try:
        yield text
    finally:
        text.detach()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
