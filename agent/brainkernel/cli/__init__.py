"""The command line: one module per command."""

from __future__ import annotations

import io
import os
import sys

from brainkernel.errors import BrainKernelError, PermissionDeniedError

__all__ = ["main"]

_INTERRUPTED = 130  # 128 + SIGINT, as shells count it


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: the only place where an error becomes a line on stderr.

    0 ok, 1 failed, 2 wrong usage, 3 not permitted, 4 daemon not running.
    """
    words = sys.argv[1:] if argv is None else argv
    _print_anything()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except BrainKernelError as error:
        return _say(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) has seen enough. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = PermissionDeniedError.exit_code if isinstance(error, PermissionError) else BrainKernelError.exit_code
        return _say(f"{where}{error.strerror or error}", code)
    return code


# A terminal of another encoding than UTF-8 shows what it lacks as an escape, instead of ending the command.
def _print_anything() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _dispatch(words: list[str]) -> int:
    from brainkernel.cli import parser  # noqa: PLC0415 # after main's try: even an import error of a dependency is reported there

    name = parser.named_in(words)
    if name is None and not words:
        parser.print_help(sys.stderr)
        return 2
    if name is not None and not parser.is_command(name):
        return _say(f"{parser.unknown_command(name)} See: brainkernel --help", 2)
    arguments = parser.parser_of(name or "").parse_args(words)
    return int(arguments.run(arguments))


def _say(message: str, code: int) -> int:
    from brainkernel.escape import shown  # noqa: PLC0415 # only now needed

    print(f"brainkernel: {shown(message)}", file=sys.stderr)
    return code
