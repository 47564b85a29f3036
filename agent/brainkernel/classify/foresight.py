"""Which programs are likely to be judged next: by what usually follows in a lineage, and by the hour. Bounded; forgets the oldest.

A program is known by its key in the verdict cache. It follows another one of the same lineage if it began within `FOLLOW_S` of it;
it belongs to an hour of the day if it was seen in that hour on most of the days since it was first seen.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from brainkernel.classify.paths import name_of

if TYPE_CHECKING:
    from brainkernel.model import Suspect

FOLLOW_S = 600
LIKELY = 0.3  # that it follows
USUAL = 0.5  # share of the days on which it was seen in this hour
TIMES_MIN, DAYS_MIN = 3, 3
AHEAD_S = 900  # the next hour is looked at so long before it begins
KEYS_MAX, PAIRS_MAX, FOLLOWERS_MAX, RECENT_MAX = 512, 2_048, 8, 64
DAY_S, HOUR_S = 86_400, 3_600


class Habit(msgspec.Struct):
    """When one program was seen. Times are CLOCK_REALTIME in seconds; hours are those of UTC, so that no clock is set twice a year."""

    decision_id: int  # the last one about it: what is asked about can be read there
    first_s: int
    last_s: int
    hours: list[int] = msgspec.field(default_factory=lambda: [0] * 24)  # days on which it was seen in this hour


class Sequence(msgspec.Struct):
    """What followed one program in one lineage: how often it was seen, and how often each key came after it."""

    times: int = 0
    followers: dict[str, int] = {}


class Habits(msgspec.Struct):
    """All that is learned, as it is kept on disk."""

    keys: dict[str, Habit] = {}
    sequences: dict[str, Sequence] = {}


@dataclass(frozen=True, slots=True)
class _Recent:
    time_s: int
    pair: str
    followed: set[str]  # each key counts once


class Foresight:
    """Learns from what is judged; `likely` says what comes."""

    def __init__(self, habits: Habits | None = None) -> None:
        kept = habits or Habits()
        self._keys = OrderedDict(kept.keys)
        self._sequences = OrderedDict(kept.sequences)
        self._recent: deque[_Recent] = deque(maxlen=RECENT_MAX)

    @property
    def habits(self) -> Habits:
        """What is to be kept."""
        return Habits(dict(self._keys), dict(self._sequences))

    def met(self, suspect: Suspect, key: str | None, decision_id: int, now_s: int) -> None:
        """Learn that a program was judged now; `key`: that its verdict came from the cache or an LLM, so that it can run out."""
        lineage = lineage_of(suspect)
        self._forget_before(now_s - FOLLOW_S)
        if key is not None:
            self._meet_key(key, decision_id, now_s)
            for recent in self._recent:
                if recent.pair.startswith(f"{lineage}|") and key not in recent.followed:
                    recent.followed.add(key)
                    _count(self._sequences[recent.pair].followers, key)
        pair = f"{lineage}|{name_of(suspect.program.exe)}"
        sequence = self._sequences.setdefault(pair, Sequence())
        sequence.times += 1
        self._sequences.move_to_end(pair)
        if len(self._sequences) > PAIRS_MAX:
            gone, _ = self._sequences.popitem(last=False)
            self._recent = deque((r for r in self._recent if r.pair != gone), RECENT_MAX)
        self._recent.append(_Recent(now_s, pair, set()))

    def likely(self, now_s: int) -> dict[str, tuple[float, int]]:
        """The keys of what is likely to come, each with its probability and the decision that knows it."""
        self._forget_before(now_s - FOLLOW_S)
        found: dict[str, float] = {}
        for recent in self._recent:
            sequence = self._sequences[recent.pair]
            for key, times in sequence.followers.items():
                if times >= TIMES_MIN and times >= LIKELY * sequence.times and key not in recent.followed:
                    found[key] = max(found.get(key, 0.0), min(1.0, times / sequence.times))
        for hour_s in {now_s, now_s + AHEAD_S}:
            for key, habit in self._keys.items():
                share = _share_of_days(habit, hour_s)
                if share >= USUAL:
                    found[key] = max(found.get(key, 0.0), share)
        return {key: (probability, self._keys[key].decision_id) for key, probability in found.items() if key in self._keys}

    def _meet_key(self, key: str, decision_id: int, now_s: int) -> None:
        habit = self._keys.get(key)
        if habit is None:
            habit = self._keys[key] = Habit(decision_id, now_s, now_s)
            habit.hours[_hour_of(now_s)] = 1
        elif now_s // HOUR_S != habit.last_s // HOUR_S:
            habit.hours[_hour_of(now_s)] += 1
        habit.decision_id, habit.last_s = decision_id, now_s
        self._keys.move_to_end(key)
        if len(self._keys) > KEYS_MAX:
            self._keys.popitem(last=False)

    def _forget_before(self, time_s: int) -> None:
        while self._recent and self._recent[0].time_s < time_s:
            self._recent.popleft()


def lineage_of(suspect: Suspect) -> str:
    """Who starts it, and who started that one, as far as it matters: names, without what differs between two runs."""
    return "<".join(name_of(parent) for parent in suspect.program.parents[:2])


def _hour_of(time_s: int) -> int:
    return time_s % DAY_S // HOUR_S


# A clock that was set back makes days negative: then nothing is usual.
def _share_of_days(habit: Habit, time_s: int) -> float:
    days = time_s // DAY_S - habit.first_s // DAY_S
    return min(1.0, habit.hours[_hour_of(time_s)] / days) if days >= DAYS_MIN else 0.0


def _count(followers: dict[str, int], key: str) -> None:
    followers[key] = followers.get(key, 0) + 1
    if len(followers) > FOLLOWERS_MAX:
        del followers[min(followers, key=lambda one: followers[one] if one != key else 1 << 60)]
