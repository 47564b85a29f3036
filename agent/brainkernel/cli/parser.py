"""The parsers, made from the catalogue."""

from __future__ import annotations

import argparse
import difflib
import shutil
from typing import TYPE_CHECKING, NoReturn, TextIO

from brainkernel import __version__
from brainkernel.cli.catalogue import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.cli.catalogue import Command, Entry

PROGRAM = "brainkernel"
_HEAD = """\
See what starts on this host and who suffers, find out what it is, slow it down reversibly, and say why."""
_TAIL = """\
Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 not permitted, 4 daemon not running.
Start with: brainkernel doctor; brainkernel run (as root). Each command has --help with examples."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are two lines, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is; exit 2."""
        self.exit(2, f"{self.prog}: {message}\nSee: {self.prog} --help\n")


def named_in(argv: list[str]) -> str | None:
    """The command that a command line names: its first word that is no option."""
    return next((word for word in argv if not word.startswith("-")), None)


def parser_of(only: str | None) -> Parser:
    """The top parser, with the arguments of one command or, for None, of all of them (completion, the manual)."""
    usage = f"{PROGRAM} [-h] [--version] COMMAND ..."
    parser = Parser(prog=PROGRAM, usage=usage, description=_HEAD, epilog=_overview(), formatter_class=_formatter, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    # The overview lists them better than argparse would; completion skips what is suppressed.
    commands_help = "command" if only is None else argparse.SUPPRESS
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", prog=PROGRAM, title="commands", help=commands_help)
    for entry in ALL:
        if only is None or only == entry.name:
            _add(commands, entry, entry.load())
    return parser


def unknown_command(name: str) -> str:
    """What to say of a command that does not exist."""
    near = difflib.get_close_matches(name, [e.name for e in ALL], n=1)
    return f"unknown command {name!r}; did you mean {near[0]!r}?" if near else f"unknown command {name!r}."


def _add(commands: argparse._SubParsersAction[Parser], entry: Entry, command: Command) -> None:
    parser = commands.add_parser(
        entry.name,
        help=entry.help,
        description=(command.__doc__ or entry.help).strip(),
        epilog=_examples(command.EXAMPLES),
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    parser.set_defaults(run=command.run)


def _examples(examples: Iterable[tuple[str, str]]) -> str | None:
    lines = [f"  {line}\n      {what}" for line, what in examples]
    return "\n".join(["examples:", *lines]) if lines else None


def _overview() -> str:
    return "\n".join(["commands:", *(f"  {e.name:<14}{e.help}" for e in ALL), "", _TAIL])


def _formatter(prog: str) -> argparse.HelpFormatter:
    width = min(shutil.get_terminal_size().columns, 110) - 2
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=width)


def is_command(name: str) -> bool:
    """Whether there is such a command."""
    return any(entry.name == name for entry in ALL)


def print_help(stream: TextIO) -> None:
    """Print the overview."""
    parser_of("").print_help(stream)
