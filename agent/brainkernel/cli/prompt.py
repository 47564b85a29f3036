"""Show the exact messages an LLM would get for each record, without sending them.

Records are those of `brainkernel classify`. What is shown is redacted as it would be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import jsonl, options, terminal

if TYPE_CHECKING:
    import argparse

EXAMPLES = (
    ("brainkernel prompt --input programs.jsonl", "for people"),
    ("brainkernel prompt --input programs.jsonl --json", "one object {id, messages} per record"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of prompt."""
    jsonl.add_input(parser, "records of programs")
    options.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the messages for each record by itself."""
    from brainkernel.asking import question_of  # noqa: PLC0415 # --help needs none of it
    from brainkernel.classify.offline import suspect_of  # noqa: PLC0415
    from brainkernel.escape import shown  # noqa: PLC0415
    from brainkernel.gateway.llm.prompt import messages_of  # noqa: PLC0415

    with jsonl.opened_input(arguments.input) as source:
        for number, line in enumerate(source, start=1):
            if not line.strip():
                continue
            record_id, suspect = suspect_of(line, number)
            messages = messages_of([question_of(suspect)])
            if arguments.json:
                print(terminal.json_line({"id": record_id, "messages": messages}))
            else:
                print("\n".join([f"--- {shown(str(record_id))}", *(f"{m['role']}:\n{m['content']}\n" for m in messages)]))
    return 0
