"""The predictive cache: verdicts of programs that are likely to come are asked for again before they expire.

What it is worth is counted exactly: a lookup that was found only because of a refresh counts apart, so the rate of hits is known
with foresight and without. Without it, the LLM would have been asked at that lookup and the verdict kept from then on.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

import msgspec

from brainkernel import metrics
from brainkernel.classify.cachekey import cache_key
from brainkernel.classify.foresight import Foresight, Habits
from brainkernel.model import Tier
from brainkernel.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.config import Llm
    from brainkernel.metrics import Figures
    from brainkernel.model import Action, Decision, Exec, Outcome, Refusal, ReleaseResult, Suspect
    from brainkernel.store import Decisions, Foresights, Verdicts

LOG = logging.getLogger(__name__)
NS_PER_S = 1_000_000_000
LOOK_EVERY_NS = 30 * NS_PER_S
SAVE_EVERY_NS = 1_800 * NS_PER_S
HOUR_NS = 3_600 * NS_PER_S
AHEAD_NS = HOUR_NS  # a verdict that expires within this time is asked for again
SHADOWS_MAX = 512
HIT, MISS, FORESEEN = "hit", "miss", "foreseen"


class _Kept(msgspec.Struct):
    habits: Habits = msgspec.field(default_factory=Habits)
    shadows: dict[str, int] = {}


class Foreseeing(Report):
    """Is told of decisions and lookups; `tick` has what is likely to come asked about in time."""

    def __init__(
        self,
        *,
        clock: Clock,
        figures: Figures,
        config: Callable[[], Llm],
        verdicts: Verdicts,
        decisions: Decisions,
        kept: Foresights,
        refresh: Callable[[Suspect], bool],
    ) -> None:
        """`refresh` asks the LLM about a suspect for the cache alone; False if it cannot now."""
        self._clock = clock
        self._figures = figures
        self._config = config
        self._verdicts = verdicts
        self._decisions = decisions
        self._store = kept
        self._refresh = refresh
        before = _decoded(kept.load())
        self._foresight = Foresight(before.habits)
        # When each refreshed verdict would have expired (CLOCK_REALTIME), had nobody refreshed it.
        self._shadows = OrderedDict(before.shadows)
        self._asked: OrderedDict[str, int] = OrderedDict()
        self._refreshed_ns: deque[int] = deque()
        self._look_ns = self._save_ns = clock.boot_ns()

    def looked_up(self, key: str, *, found: bool) -> None:
        """The cache was asked for a verdict."""
        result = HIT if found else MISS
        shadow_ns = self._shadows.get(key)
        now_ns = self._clock.wall_ns()
        if found and shadow_ns is not None and now_ns >= shadow_ns:
            result = FORESEEN
            self._shadows[key] = now_ns + self._kept_ns
        elif not found:
            self._shadows.pop(key, None)  # asked about now, with foresight or without: both know it from here on
        self._figures.add(metrics.CACHE_LOOKUPS, result)

    def tick(self) -> None:
        """Once per sample; looks ahead every half minute."""
        now_ns = self._clock.boot_ns()
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + LOOK_EVERY_NS
        if now_ns >= self._save_ns:
            self._save_ns = now_ns + SAVE_EVERY_NS
            self.save()
        self._look_ahead(now_ns)

    def save(self) -> None:
        """Keep what was learned for the next start."""
        self._store.save(msgspec.json.encode(_Kept(self._foresight.habits, dict(self._shadows))))

    def event(self, event: Exec, *, passed: bool) -> None:
        """Starts that the gate knows are judged by nobody."""

    def decision(self, decision: Decision) -> None:
        """Learn what was judged, and after what."""
        can_expire = decision.verdict.tier in (Tier.CACHE, Tier.LLM)
        key = cache_key(decision.suspect) if can_expire else None
        self._foresight.met(decision.suspect, key, decision.id, self._clock.wall_ns() // NS_PER_S)

    def action(self, decision: Decision, action: Action) -> None:
        """A limit says nothing of what comes."""

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """Nor does a refusal."""

    def released(self, action: Action, result: ReleaseResult, why: str) -> None:
        """Nor does its end."""

    def outcome(self, decision: Decision, outcome: Outcome) -> None:
        """Nor does its effect."""

    def notice(self, text: str) -> None:
        """Notices are for people who are there."""

    @property
    def _kept_ns(self) -> int:
        return int(self._config().cache_days * 86_400 * NS_PER_S)

    def _look_ahead(self, now_ns: int) -> None:
        while self._refreshed_ns and now_ns - self._refreshed_ns[0] > HOUR_NS:
            self._refreshed_ns.popleft()
        wall_ns = self._clock.wall_ns()
        likely = self._foresight.likely(wall_ns // NS_PER_S)
        for key, (_probability, decision_id) in sorted(likely.items(), key=lambda one: -one[1][0]):
            if len(self._refreshed_ns) >= self._config().refreshes_per_hour:
                return
            expires_ns = self._verdicts.expires_ns(key)
            if expires_ns is not None and expires_ns <= wall_ns + AHEAD_NS and now_ns - self._asked.get(key, -HOUR_NS) >= HOUR_NS:
                self._ask(key, decision_id, expires_ns, now_ns)

    # Its own expiry, not an earlier refresh's, is what would have been: a second refresh does not move it.
    def _ask(self, key: str, decision_id: int, expires_ns: int, now_ns: int) -> None:
        record = self._decisions.get(decision_id)
        # What is stored was escaped: of a program with a strange name it would make another key.
        if record is None or cache_key(record.decision.suspect) != key or not self._refresh(record.decision.suspect):
            return
        self._figures.add(metrics.CACHE_REFRESHES)
        self._refreshed_ns.append(now_ns)
        _keep(self._asked, key, now_ns)
        _keep(self._shadows, key, self._shadows.get(key, expires_ns))
        LOG.info("foreseen: decision %d's program is asked about again before its verdict expires", decision_id)


def _keep(memory: OrderedDict[str, int], key: str, value: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > SHADOWS_MAX:
        memory.popitem(last=False)


# What a bad disk changed is learned anew.
def _decoded(data: bytes | None) -> _Kept:
    if data is None:
        return _Kept()
    try:
        kept = msgspec.json.decode(data, type=_Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Kept()
    hours_are_whole = all(len(habit.hours) == 24 for habit in kept.habits.keys.values())  # noqa: PLR2004 # of a day
    return kept if hours_are_whole else _Kept()
