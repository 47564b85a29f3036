"""What this host is used to: programs, who starts them, for whom, with which arguments, and how much CPU they take.

Kept as 8-byte digests: a host's 20,000 identities then cost a few megabytes, and a path can be read back
from the store when a person wants to see it.
"""

from __future__ import annotations

import functools
import math
from _blake2 import blake2b  # hashlib loads OpenSSL: 3.6 MB of the daemon's memory
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.model import Exec, Reason, ReasonCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.model import Identity

Digest = int


def digest_of(*parts: str | int) -> Digest:
    """64 bits of BLAKE2b over the parts: with 100,000 entries the chance of any collision is 3e-10."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


class SeenSet:
    """A bounded set that forgets what was not met for longest."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[Digest, None] = OrderedDict()

    def __contains__(self, entry: Digest) -> bool:
        return entry in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Digest) -> None:
        """Remember `entry` as met now."""
        self._entries[entry] = None
        self._entries.move_to_end(entry)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


@dataclass(slots=True)
class CpuHabit:
    """How much CPU a program usually takes: an EWMA of its share and of the distance from it.

    A sample far above the mean is clipped before it is learned, so that one wild hour does not become the habit.
    """

    mean_pct: float = 0.0
    deviation_pct: float = 0.0
    samples: int = 0

    WEIGHT = 0.05  # half of what is known is younger than 14 samples
    CLIP = 3.0  # deviations
    LEARNED = 30  # samples before a habit is trusted

    def learn(self, share_pct: float) -> None:
        """Take one sample of the share of one CPU in percent."""
        ceiling = self.mean_pct + self.CLIP * max(self.deviation_pct, 1.0)
        taken = min(share_pct, ceiling) if self.samples >= self.LEARNED else share_pct
        weight = max(self.WEIGHT, 1 / (self.samples + 1))
        self.deviation_pct += weight * (abs(taken - self.mean_pct) - self.deviation_pct) if self.samples else 0.0
        self.mean_pct += weight * (taken - self.mean_pct)
        self.samples += 1

    def unlike(self, share_pct: float, factor: float) -> bool:
        """Whether the share is far from the habit; an unlearned habit says yes, since nothing speaks for it."""
        bound_pct = self.bound_pct(factor)
        return bound_pct is None or share_pct > bound_pct

    def bound_pct(self, factor: float) -> float | None:
        """The share from which on it is far from the habit; None while that is being learned."""
        if self.samples < self.LEARNED:
            return None
        return max(self.mean_pct * factor, self.mean_pct + self.CLIP * self.deviation_pct)


class Baseline:
    """Everything the gate has met. Bounded; filled from the store at start, so that a restart is no cold start."""

    PROGRAMS_MAX = 32_768
    EDGES_MAX = 65_536
    SHAPES_MAX = 65_536
    HABITS_MAX = 4_096

    def __init__(self) -> None:
        self._programs = SeenSet(self.PROGRAMS_MAX)
        self._paths = SeenSet(self.PROGRAMS_MAX)
        self._edges = SeenSet(self.EDGES_MAX)
        self._users = SeenSet(self.EDGES_MAX)
        self._shapes = SeenSet(self.SHAPES_MAX)
        self._habits: OrderedDict[str, CpuHabit] = OrderedDict()

    def preload(self, identities: Iterable[Identity], shapes: Iterable[Digest] = (), habits: Iterable[tuple[str, CpuHabit]] = ()) -> None:
        """Learn what earlier runs met, oldest first, so that the newest stays when it is too much."""
        for identity in identities:
            self.learn(identity)
        for shape in shapes:
            self._shapes.add(shape)
        self._habits.update(habits)

    def novelty_of(self, identity: Identity, shape: Digest | None) -> Reason | None:
        """Why this start is new, the strongest reason alone; None if all of it was met before. Learns nothing."""
        exe, parent = identity.exe, identity.parent_exe
        met = _digests_of(identity)
        if met.program not in self._programs:
            known_path = met.path in self._paths
            return Reason(ReasonCode.NEW_PROGRAM, f"{exe} changed on disk" if known_path else f"first start of {exe}")
        if met.edge not in self._edges:
            return Reason(ReasonCode.NEW_PARENT, f"first time that {parent or 'an unknown parent'} starts {exe}")
        if met.user not in self._users:
            return Reason(ReasonCode.NEW_USER, f"first time that uid {identity.uid} runs {exe}")
        if shape is not None and shape not in self._shapes:
            return Reason(ReasonCode.NEW_ARGUMENTS, f"first time that {exe} runs with arguments of this form")
        return None

    def learn(self, identity: Identity, shape: Digest | None = None) -> None:
        """Remember one start."""
        met = _digests_of(identity)
        self._programs.add(met.program)
        self._paths.add(met.path)
        self._edges.add(met.edge)
        self._users.add(met.user)
        if shape is not None:
            self._shapes.add(shape)

    def habits(self) -> list[tuple[str, CpuHabit]]:
        """All habits by program path, the longest unmet first."""
        return list(self._habits.items())

    def habit_of(self, exe: str) -> CpuHabit:
        """The CPU habit of a program; a fresh one if there was none."""
        habit = self._habits.setdefault(exe, CpuHabit())
        self._habits.move_to_end(exe)
        if len(self._habits) > self.HABITS_MAX:
            self._habits.popitem(last=False)
        return habit


class _Digests(NamedTuple):
    # What an identity is known by.
    program: Digest
    path: Digest
    edge: Digest
    user: Digest


@functools.lru_cache(maxsize=512)  # each is asked for twice, and a busy host starts the same few programs all the time
def _digests_of(identity: Identity) -> _Digests:
    exe, file = identity.exe, identity.file
    return _Digests(
        program=digest_of("program", exe, *((file.dev, file.ino, file.ctime_ns) if file else ())),
        path=digest_of("path", exe),
        edge=digest_of("edge", exe, identity.parent_exe),
        user=digest_of("user", exe, identity.uid),
    )


@dataclass(slots=True)
class Burst:
    """Execs of one parent in the current second."""

    second: int = 0
    count: int = 0


class BurstMeter:
    """Counts execs per parent and second, over the busiest parents only."""

    PARENTS_MAX = 1_024

    def __init__(self, limit_per_s: int) -> None:
        self._limit = limit_per_s if limit_per_s > 0 else math.inf
        self._bursts: OrderedDict[int, Burst] = OrderedDict()

    def reason_of(self, event: Exec) -> Reason | None:
        """Count one exec; the reason once per second in which its parent goes over the limit."""
        if event.parent is None:
            return None
        burst = self._bursts.setdefault(event.parent.tgid, Burst())
        self._bursts.move_to_end(event.parent.tgid)
        if len(self._bursts) > self.PARENTS_MAX:
            self._bursts.popitem(last=False)
        second = event.time_ns // 1_000_000_000
        if second != burst.second:
            burst.second, burst.count = second, 0
        burst.count += 1
        if burst.count != self._limit + 1:
            return None
        return Reason(ReasonCode.EXEC_BURST, f"{event.parent_exe or 'its parent'} starts more than {self._limit} programs a second")
