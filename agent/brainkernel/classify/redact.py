"""What of a command line may leave the host.

Secrets and personal names are replaced by visible marks; options, structure and everything else stay as they are, so
that a model, or a person, still sees what the program does. In this order: by what the program and the option say
(`redact_programs`, `redact_names`), inside shell text as deep as it is nested (`redact_shell`), by what the text
itself says (`redact_text`, `redact_shapes`), and last who it is about (`redact_person`). Pure, and linear in the text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from brainkernel.classify.redact_person import names_in, without_person
from brainkernel.classify.redact_text import without_secrets
from brainkernel.classify.redact_words import redacted_words
from brainkernel.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

ARGS_MAX = 4096
ARG_CHARS = 131_072  # MAX_ARG_STRLEN: no argument is longer
TOTAL_CHARS = 262_144
_CUT_MARGIN = 512


def redacted_argv(argv: Sequence[str], *, names: frozenset[str] = frozenset(), total_chars: int = TOTAL_CHARS) -> tuple[str, ...]:
    """The command line as it may leave the host. Without secrets and personal data in it, it comes back unchanged.

    `names` are home names known from elsewhere (`names_in(cwd)`). Bounded first: at most 4096 arguments and
    `total_chars`: the head and the tail stay; what was cut says so.
    """
    bounded = _bounded(argv, total_chars)
    names |= names_in(bounded)
    clean = redacted_words(bounded)
    program = bounded[0].rpartition("/")[2] if bounded else ""
    return tuple(
        without_person(word, names=names, option=before if before.startswith("-") else word.partition("=")[0], program=program)
        for before, word in zip(["", *clean], clean, strict=False)
    )


def redacted_path(path: str, *, names: frozenset[str] = frozenset()) -> str:
    """A path (exe, cwd, cgroup) as it may leave the host: home names and mail addresses replaced, tokens too."""
    path = path[:ARG_CHARS]
    return without_person(without_secrets(path), names=names | names_in((path,)))


def redact_file(source: Iterable[str], sink: TextIO) -> int:
    """Copy JSON lines `{id, argv}` with the command lines redacted, and return how many there were.

    A record's `cwd`, if it has one, is only used to know whose home it is. Raises UsageError with the line number for
    a line that is no such record; what came before it has been written.
    """
    count = 0
    for number, line in enumerate(source, start=1):
        if line.strip():
            record = _record(line, number)
            names = names_in((record.get("cwd", ""),)) if isinstance(record.get("cwd"), str) else frozenset()
            redacted = redacted_argv(record["argv"], names=names)
            sink.write(json.dumps({"id": record["id"], "argv": redacted}, ensure_ascii=False).encode(errors="replace").decode() + "\n")
            count += 1
    return count


def _record(line: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(number, f"not JSON ({error})") from None
    if not isinstance(record, dict):
        raise _wrong(number, "not an object")
    argv = record.get("argv")
    if "id" not in record or not isinstance(argv, list) or not all(isinstance(a, str) for a in argv):
        raise _wrong(number, "no id, or argv is not a list of strings")
    return record


def _wrong(number: int, what: str) -> UsageError:
    return UsageError(f'line {number}: {what}; expected {{"id": ..., "argv": ["..."]}}')


def _bounded(argv: Sequence[str], total_chars: int) -> list[str]:
    # Head and tail, so that nobody can push the truth out of sight.
    if len(argv) <= ARGS_MAX and sum(map(len, argv)) <= total_chars:
        return list(argv)
    head, head_count = _within(argv[: ARGS_MAX // 2], total_chars // 2)
    rest = argv[head_count:]
    tail, tail_count = _within(rest[: -ARGS_MAX // 2 - 1 : -1], total_chars // 2)
    missing = len(rest) - tail_count
    # The first of the tail may be the value of an option that fell into the gap: it goes too.
    return [*head, f"... ({missing + 1} arguments)", *reversed(tail[:-1])] if missing else [*head, *reversed(tail)]


def _within(argv: Sequence[str], left: int) -> tuple[list[str], int]:
    found: list[str] = []
    for arg in argv:
        if left <= 0:
            break
        limit = min(ARG_CHARS, left)
        # A cut may go through a secret, and half of one looks like nothing: the last piece before it goes too.
        found.append(arg if len(arg) <= limit else f"{arg[: max(0, limit - _CUT_MARGIN)]}... ({len(arg)} characters)")
        left -= len(arg)
    return found, len(found)
