"""Limits that wait for a person's word. Silence is a no. Pure but for what it remembers; bounded.

An approval holds for that process, a denial and a silence for the program (its script, for an interpreter) in that
category; `always` makes either hold for the program until the other is said.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from brainkernel.model import Category, Decision, ProcessKey, Suspect

K = TypeVar("K")
V = TypeVar("V")

HOUR_NS = 3_600_000_000_000
APPROVED_NS = HOUR_NS  # how long an approved process may be limited without being asked about again
DENIED_NS = 24 * HOUR_NS  # as long as an undo is kept to
SILENCE_NS = HOUR_NS
PENDING_MAX = 64  # more than a person will read
REMEMBERED_MAX = 4_096


class Consent(enum.StrEnum):
    """What a person said of limiting a program."""

    ASK = "ask"  # nothing yet
    WAITS = "waits"  # asked already
    FULL = "full"  # too many wait
    ALLOWED = "allowed"
    DENIED = "denied"
    SILENT = "silent"  # asked, and nobody answered in time


class Subject(NamedTuple):
    """What a word is about, when it is about more than one process."""

    exe: str
    script: str
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One limit that waits. Times are CLOCK_BOOTTIME."""

    decision: Decision
    asked_ns: int
    expires_ns: int

    @property
    def subject(self) -> Subject:
        """The program it is about."""
        return subject_of(self.decision.suspect, self.decision.verdict.category)


def subject_of(suspect: Suspect, category: Category) -> Subject:
    """A program in a category; scripts are programs of their own."""
    return Subject(suspect.program.exe, suspect.evidence.script, category.value)


class Approvals:
    """Who waits, and what was said. A restart forgets who waits: that is a no."""

    def __init__(self) -> None:
        self._pending: dict[int, Pending] = {}
        self._processes: OrderedDict[ProcessKey, int] = OrderedDict()  # approved until
        self._subjects: OrderedDict[Subject, tuple[Consent, int]] = OrderedDict()  # denied or silent until
        self._always: OrderedDict[Subject, Consent] = OrderedDict()

    def consent(self, suspect: Suspect, category: Category, now_ns: int) -> Consent:
        """What holds for limiting this process as this category now. The newest word about it wins over an older one."""
        subject = subject_of(suspect, category)
        if self._processes.get(suspect.key, now_ns) > now_ns:
            return Consent.ALLOWED
        said, until_ns = self._subjects.get(subject, (Consent.ASK, now_ns))
        if until_ns > now_ns:
            return said
        if subject in self._always:
            return self._always[subject]
        if any(pending.subject == subject for pending in self._pending.values()):
            return Consent.WAITS
        return Consent.FULL if len(self._pending) >= PENDING_MAX else Consent.ASK

    def ask(self, decision: Decision, now_ns: int, timeout_ns: int) -> None:
        """Let a decision wait."""
        self._pending[decision.id] = Pending(decision=decision, asked_ns=now_ns, expires_ns=now_ns + timeout_ns)

    def answer(self, decision_id: int, now_ns: int, *, allowed: bool, always: bool) -> Pending | None:
        """Take a person's word; None if nothing waits under this number (any more)."""
        if (pending := self._pending.pop(decision_id, None)) is None:
            return None
        key, subject = pending.decision.suspect.key, pending.subject
        self._subjects.pop(subject, None)
        self._processes.pop(key, None)
        if always:
            self.hold(subject, allowed=allowed)
        elif allowed:
            _put(self._processes, key, now_ns + APPROVED_NS)
        else:
            self.deny(subject, now_ns + DENIED_NS)
        return pending

    def deny(self, subject: Subject, until_ns: int) -> None:
        """Let a no hold until a time, as `answer` does and a restart that reads the audit log."""
        _put(self._subjects, subject, (Consent.DENIED, until_ns))

    def hold(self, subject: Subject, *, allowed: bool) -> None:
        """Let a word hold always, as `answer` does and a restart that reads the audit log."""
        _put(self._always, subject, Consent.ALLOWED if allowed else Consent.DENIED)

    def expire(self, now_ns: int) -> list[Pending]:
        """Those that nobody answered in time; each is a no now."""
        silent = [pending for pending in self._pending.values() if now_ns >= pending.expires_ns]
        for pending in silent:
            del self._pending[pending.decision.id]
            _put(self._subjects, pending.subject, (Consent.SILENT, now_ns + SILENCE_NS))
        return silent

    @property
    def waiting(self) -> tuple[Pending, ...]:
        """Those that wait, oldest first."""
        return tuple(self._pending.values())


def _put(memory: OrderedDict[K, V], key: K, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED_MAX:
        memory.popitem(last=False)
