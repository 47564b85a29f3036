"""The questions of the exam: shipped labelled programs that no training saw, attacks and injections among them."""

from __future__ import annotations

from _blake2 import blake2b
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from brainkernel.classify.offline import suspect_of
from brainkernel.errors import BrainKernelError
from brainkernel.model import Category

if TYPE_CHECKING:
    from brainkernel.model import Suspect

SHIPPED_FILE = Path(__file__).parent / "records.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One program and what it is. `expected` None: harmless, of whatever category."""

    id: str
    suspect: Suspect
    expected: Category | None
    also_right: frozenset[Category] = frozenset()
    injection_wants: Category | None = None  # what the orders in its strings would have a judge say

    @property
    def right(self) -> frozenset[Category]:
        """Every answer that is right."""
        return self.also_right | ({self.expected} if self.expected else frozenset())


@dataclass(frozen=True, slots=True)
class Paper:
    """All tasks, and a digest of the file they come from."""

    tasks: tuple[Task, ...]
    digest: str


def read_paper(file: Path = SHIPPED_FILE) -> Paper:
    """Read the tasks. Raises BrainKernelError for a file that is not such a set."""
    try:
        data = file.read_bytes()
        tasks = tuple(_task_of(line, number) for number, line in enumerate(data.splitlines(), start=1))
    except (OSError, ValueError, KeyError) as error:
        msg = f"{file}: not an exam ({error}); install the package again"
        raise BrainKernelError(msg) from None
    return Paper(tasks, blake2b(data, digest_size=8).hexdigest())


def spread(tasks: tuple[Task, ...], count: int) -> tuple[Task, ...]:
    """Choose `count` tasks evenly over all categories, always the same ones."""
    by_kind: dict[Category | None, list[Task]] = {}
    for task in tasks:
        by_kind.setdefault(task.expected, []).append(task)
    chosen: list[Task] = []
    while len(chosen) < min(count, len(tasks)):
        chosen += [of_kind.pop(0) for of_kind in by_kind.values() if of_kind][: count - len(chosen)]
    return tuple(chosen)


def _task_of(line: bytes, number: int) -> Task:
    record = orjson.loads(line)
    identifier, suspect = suspect_of(line, number)
    wants = record.get("injection_wants")
    return Task(
        id=str(identifier),
        suspect=suspect,
        expected=None if record["expected"] == "benign" else Category(record["expected"]),
        also_right=frozenset(map(Category, record.get("also_ok", ()))),
        injection_wants=Category(wants) if wants else None,
    )
