"""Flood control in user space, as bpf/bucket.h has it in the kernel: one token bucket per cgroup. Pure."""

from __future__ import annotations

from collections import OrderedDict

_BUCKETS_MAX = 4096


class TokenBuckets:
    """Says which records are taken and counts the others. Bounded: the bucket that was asked longest ago goes first."""

    def __init__(self, records_per_s: int, burst: int) -> None:
        """As many records per second and cgroup, once the burst is spent; 0: no limit."""
        self._interval_ns = 1_000_000_000 // records_per_s if records_per_s else 0
        self._depth_ns = self._interval_ns * burst
        self._due_ns: OrderedDict[int, int] = OrderedDict()  # by cgroup: up to when its tokens are spent (GCRA)
        self.suppressed: dict[int, int] = {}  # by cgroup, since the bucket was made

    def admits(self, cgroup_id: int, now_ns: int) -> bool:
        """Take a token of this cgroup's bucket, if it has one."""
        due_ns = max(self._due_ns.get(cgroup_id, 0), now_ns)
        if due_ns - now_ns + self._interval_ns > self._depth_ns:
            self.suppressed[cgroup_id] = self.suppressed.get(cgroup_id, 0) + 1
            return False
        self._due_ns[cgroup_id] = due_ns + self._interval_ns
        self._due_ns.move_to_end(cgroup_id)
        if len(self._due_ns) > _BUCKETS_MAX:
            oldest, _ = self._due_ns.popitem(last=False)
            self.suppressed.pop(oldest, None)
        return True
