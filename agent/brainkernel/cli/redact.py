"""Show what would leave the host of given command lines: secrets, names and addresses are taken out.

Records `{id, argv}` come in, one JSON object a line; the same records come out as a language model would get them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import jsonl

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("""echo '{"id": 1, "argv": ["mysql", "-pgeheim"]}' | brainkernel redact""", "one command line"),
    ("brainkernel redact --input commands.jsonl --output redacted.jsonl", "a file of them"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of redact."""
    jsonl.add_input(parser, "records {id, argv}")
    jsonl.add_output(parser, "the redacted records")


def run(arguments: argparse.Namespace) -> int:
    """Redact all records."""
    from brainkernel.classify.redact import redact_file  # noqa: PLC0415 # --help does not need it

    with (
        jsonl.opened_input(arguments.input) as source,
        jsonl.opened_output(arguments.output) as target,
        jsonl.as_text(source) as lines,
        jsonl.as_text(target) as redacted,
    ):
        redact_file(lines, redacted)
    return 0
