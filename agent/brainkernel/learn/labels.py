"""What programs are, written down by people beforehand: the truth that decisions about these programs are held against.

The file has one JSON object per line: `exe`, optionally `argv`, and `expected`, a category. Without `argv` it speaks of every
run of that program. This is the form of the labelled sets that `brainkernel classify` is measured with; other fields are ignored.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from brainkernel.errors import ConfigError
from brainkernel.model import Category, Decision, DecisionKind, Judgement, JudgementSource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from brainkernel.config import Policy
    from brainkernel.model import Program

LABELS_MAX = 10_000
LINES_MAX, LINE_MAX, BYTES_MAX = 100_000, 65_536, 64 << 20  # read at once, in the daemon's loop: some tenths of a second
AGAIN_NS = 24 * 3600 * 1_000_000_000  # one word per program, form and outcome in this time: a loop must not outvote people
HEARD_MAX = 4_096
# These refusals say nothing of what the program is.
_CAUTION = frozenset({"confidence", "exam", "learned"})
_LIMITED = (DecisionKind.LIMIT, DecisionKind.PENDING)


@dataclass(slots=True)
class Labels:
    """The labels of a file, and which words they have spoken lately."""

    _by_program: dict[tuple[str, tuple[str, ...] | None], Category] = field(default_factory=dict)
    _heard: OrderedDict[tuple[object, ...], int] = field(default_factory=OrderedDict)

    def of(self, program: Program) -> Category | None:
        """What people say that a program is; None if they say nothing."""
        names = (program.exe, program.filename)
        found = (self._by_program.get((name, argv)) for argv in (program.argv, None) for name in names if name)
        return next((label for label in found if label is not None), None)

    def judgement(self, decision: Decision, policy: Policy, now_ns: int) -> Judgement | None:
        """What the labels say of a decision at `now_ns` (CLOCK_REALTIME); None: nothing, or nothing new today."""
        label = self.of(decision.suspect.program)
        if label is None:
            return None
        key = (decision.suspect.program.exe, label, decision.verdict.category, decision.kind)
        if now_ns - self._heard.get(key, -AGAIN_NS) < AGAIN_NS:
            return None
        self._heard[key] = now_ns
        if len(self._heard) > HEARD_MAX:
            self._heard.popitem(last=False)
        return Judgement(
            time_ns=now_ns,
            decision_id=decision.id,
            source=JudgementSource.LABELS,
            limited=decision.kind in _LIMITED,
            act_right=_act_right(decision, limitable=bool(policy.of(label).limits)),
            category_right=None if decision.verdict.category is Category.UNKNOWN else label is decision.verdict.category,
            label=label,
        )


def _act_right(decision: Decision, *, limitable: bool) -> bool | None:
    if decision.kind in _LIMITED:
        return limitable
    if decision.kind is DecisionKind.LEAVE:
        return not limitable
    if decision.kind is DecisionKind.REFUSED and all(refusal.rule in _CAUTION for refusal in decision.refusals):
        return not limitable
    return None  # nobody was hurt, or something else than the program's kind forbade it


def read_labels(file: Path | None) -> Labels:
    """Read a labels file; None: no labels. Raises ConfigError that names the line which is none."""
    if file is None:
        return Labels()
    try:
        if file.stat().st_size > BYTES_MAX:
            msg = f"quality.labels_file: {file}: larger than {BYTES_MAX >> 20} MiB"
            raise ConfigError(msg)
        with file.open(encoding="utf-8", errors="surrogateescape") as lines:
            return labels_of(lines, str(file))
    except OSError as error:
        msg = f"quality.labels_file: {file}: {error.strerror or error}"
        raise ConfigError(msg) from None


def labels_of(lines: Iterable[str], name: str) -> Labels:
    """The labels of these lines, of which the last one about a program holds. Raises ConfigError with the line's number."""
    labels: dict[tuple[str, tuple[str, ...] | None], Category] = {}
    for number, line in enumerate(lines, start=1):
        if number > LINES_MAX:
            msg = f"{name}:{number}: at most {LINES_MAX} lines are taken; the last one about a program holds, so earlier ones can go"
            raise ConfigError(msg)
        if not line.strip():
            continue
        if len(line) > LINE_MAX or len(labels) >= LABELS_MAX:
            msg = f"{name}:{number}: at most {LABELS_MAX} labels of {LINE_MAX} characters are taken"
            raise ConfigError(msg)
        exe, argv, label = _label_of(line, f"{name}:{number}")
        labels[exe, argv] = label
    return Labels(labels)


def _label_of(line: str, where: str) -> tuple[str, tuple[str, ...] | None, Category]:
    try:
        record = orjson.loads(line.encode("utf-8", "surrogateescape"))
        exe, argv = record["exe"], record.get("argv")
        label = Category(record["expected"])
        if not isinstance(exe, str) or not (argv is None or (isinstance(argv, list) and all(isinstance(a, str) for a in argv))):
            raise TypeError  # noqa: TRY301 # the message is the same
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        categories = ", ".join(Category)
        msg = f'{where}: no label; write {{"exe": "/usr/bin/x", "expected": CATEGORY}}, CATEGORY one of {categories}'
        raise ConfigError(msg) from None
    return exe, None if argv is None else tuple(argv), label
