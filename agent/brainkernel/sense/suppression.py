"""Which records flood control held back, told per cgroup and summing up to the kernel's own count. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import Suppressed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INTERVAL_NS = 250_000_000


class SuppressionNotices:
    """Remembers what was told already.

    The kernel's buckets are an LRU hash: one that was evicted lost its count, which the per-CPU total still has. The
    difference is told as cgroup 0, so that the sum of all notices is exact.
    """

    def __init__(self) -> None:
        self._told_by_cgroup: dict[int, int] = {}
        self._told = 0
        self._looked_ns = 0

    def due(self, now_ns: int, total: Callable[[], int], by_cgroup: Callable[[], Mapping[int, int]]) -> list[Suppressed]:
        """The notices that are to be given now, at most every quarter of a second. What is counted is as for `since_last`."""
        if now_ns - self._looked_ns < _INTERVAL_NS:
            return []
        self._looked_ns = now_ns
        if (counted := total()) <= self._told:
            return []
        return [Suppressed(time_ns=now_ns, cgroup_id=cgroup_id, count=count) for cgroup_id, count in self.since_last(counted, by_cgroup())]

    def since_last(self, total: int, by_cgroup: Mapping[int, int]) -> list[tuple[int, int]]:
        """What is new as (cgroup_id, count). Read `total` before `by_cgroup`: then it cannot be ahead of it."""
        notices = []
        for cgroup_id, count in by_cgroup.items():
            told = self._told_by_cgroup.get(cgroup_id, 0)
            new = count - told if count >= told else count  # it was evicted and made anew
            if new:
                notices.append((cgroup_id, new))
        self._told_by_cgroup = dict(by_cgroup)
        self._told += sum(count for _, count in notices)
        if total > self._told:
            notices.append((0, total - self._told))
            self._told = total
        return notices
