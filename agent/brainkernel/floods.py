"""What flood control held back, told to a person: which cgroup starts more new programs than anybody looks at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.model import Suppressed

_INTERVAL_NS = 60 * 1_000_000_000
_NAMED_MAX = 3


class Floods:
    """Tells the first notice of a flood at once, and from then on once a minute how many there were since."""

    def __init__(self, *, notice: Callable[[str], None], path_of: Callable[[int], str], clock: Clock) -> None:
        """`path_of` gives the path of a cgroup id, "" for one that is gone or may not be opened."""
        self._notice = notice
        self._path_of = path_of
        self._clock = clock
        self._untold: Counter[int] = Counter()
        self._added = 0
        self._told_ns: int | None = None

    def add(self, event: Suppressed) -> None:
        """Take a notice of the loader."""
        self._untold[event.cgroup_id] += event.count
        self._added += event.count

    def tick(self) -> None:
        """Tell what is to be told by now."""
        now_ns = self._clock.boot_ns()
        if not self._untold or (self._told_ns is not None and now_ns - self._told_ns < _INTERVAL_NS):
            return
        self._told_ns = now_ns
        self._tell()

    def close(self, suppressed: int) -> None:
        """Tell the rest at once; `suppressed` is the loader's count of all, since its own last notice may not have come."""
        if missing := suppressed - self._added:
            self._untold[0] += missing
        if self._untold:
            self._tell()

    def _tell(self) -> None:
        worst = self._untold.most_common(_NAMED_MAX)
        named = [f"{count} in {self._path_of(cgroup_id) or f'cgroup {cgroup_id}'}" for cgroup_id, count in worst]
        if rest := self._untold.total() - sum(count for _, count in worst):
            named.append(f"{rest} in others")
        self._untold.clear()
        self._notice(f"flood control: program starts that nobody looked at: {', '.join(named)}")
