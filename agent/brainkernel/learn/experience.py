"""What earlier limits taught about a program: whether to limit it again, how hard at first, and for how long.

Pure but for what it remembers; bounded. A restart replays the lessons that the store kept.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.model import Lesson, Outcome, Refusal

if TYPE_CHECKING:
    from brainkernel.model import Decision, Identity

NS_PER_S = 1_000_000_000
RESPECT_NS = 24 * 3600 * NS_PER_S  # how long a person's undo of a limit is kept to
USELESS_NS = 3600 * NS_PER_S  # how long a program is left alone after a limit that helped nobody
AGAIN_NS = 300 * NS_PER_S  # a limit needed again within this time counts as the same need


@dataclass(slots=True)
class _Memory:
    undone_until_ns: int = 0
    useless_until_ns: int = 0
    times_needed: int = 0
    needed_until_ns: int = 0


class Experience:
    """Lessons by program path: a new version of a program is not a stranger to those who waited for the old one."""

    PROGRAMS_MAX = 4_096

    def __init__(self) -> None:
        self._memories: OrderedDict[str, _Memory] = OrderedDict()

    def learn(self, lesson: Lesson, now_ns: int) -> None:
        """Take one lesson. `now_ns` is CLOCK_REALTIME, since some of it outlives a reboot."""
        memory = self._memory(lesson.identity.exe)
        if lesson.undone_by_person:
            memory.undone_until_ns = now_ns + RESPECT_NS
        if lesson.helped is False:
            memory.useless_until_ns = now_ns + USELESS_NS
        elif lesson.helped:
            memory.useless_until_ns = 0

    def ended(self, identity: Identity, now_ns: int) -> None:
        """Note that a limit ended by its lease: needed again soon, the next lease is longer."""
        memory = self._memory(identity.exe)
        memory.times_needed = memory.times_needed + 1 if now_ns < memory.needed_until_ns or not memory.times_needed else 1
        memory.needed_until_ns = now_ns + AGAIN_NS

    def times_needed(self, identity: Identity, now_ns: int) -> int:
        """How many limits in succession this program has needed already."""
        memory = self._memories.get(identity.exe)
        return memory.times_needed if memory and now_ns < memory.needed_until_ns else 0

    def objection(self, identity: Identity, now_ns: int) -> Refusal | None:
        """What was learned against limiting this program now."""
        memory = self._memories.get(identity.exe)
        if memory is None:
            return None
        if now_ns < memory.undone_until_ns:
            return Refusal(rule="undone", reason="was set free by a person within the last day")
        if now_ns < memory.useless_until_ns:
            return Refusal(rule="useless", reason="was limited within the last hour and that helped nobody")
        return None

    def _memory(self, exe: str) -> _Memory:
        memory = self._memories.setdefault(exe, _Memory())
        self._memories.move_to_end(exe)
        if len(self._memories) > self.PROGRAMS_MAX:
            self._memories.popitem(last=False)
        return memory


def lesson_of(decision: Decision, *, outcome: Outcome | None = None, undone_by_person: bool = False) -> Lesson:
    """Put into a lesson what one decision showed."""
    text = "a person undid it" if undone_by_person else outcome.text if outcome else ""
    return Lesson(
        decision_id=decision.id,
        identity=decision.suspect.identity,
        category=decision.verdict.category,
        helped=outcome.helped if outcome else None,
        undone_by_person=undone_by_person,
        text=text,
    )
