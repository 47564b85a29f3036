"""Whether a weight can help those who wait: it is shared out among the children of one cgroup and counts nowhere else. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from brainkernel.model import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from brainkernel.model import Limit


def first_that_counts(ladder: Sequence[Limit], step: int, *, weight_counts: bool) -> int | None:
    """The first step from `step` on that is more than a weight, or `step` itself where weights count; None if there is none."""
    return next((number for number in range(step, len(ladder)) if weight_counts or ladder[number].caps), None)


def weight_counts(route: Route, cgroup: str, others: Iterable[str], is_weighed: Callable[[str], bool]) -> bool:
    """Whether a weight on the unit at `cgroup` (or on a new scope beside it) counts against one of the cgroups `others`.

    `is_weighed` says whether a cgroup has a CPU weight. Where the ways part and nothing is weighed yet, the first
    weight makes systemd switch that on for both sides: that alone changes who gets what. A program limited task by task
    switches nothing on; its own route says what that is worth.
    """
    others = tuple(others)
    if route not in (Route.UNIT, Route.SCOPE) or not others:
        return True
    level = PurePosixPath(cgroup).parent
    return any(_counts(level, PurePosixPath(other), is_weighed) for other in others)


def _counts(level: PurePosixPath, other: PurePosixPath, is_weighed: Callable[[str], bool]) -> bool:
    if other.is_relative_to(level):
        return True
    shared = next(above for above in level.parents if other.is_relative_to(above))
    return not is_weighed(str(shared / level.relative_to(shared).parts[0]))
