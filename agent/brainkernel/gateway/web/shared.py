"""One answer for everybody who asks the same at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

KEPT_MAX = 64  # an answer of figures over time is some 200 KB

T = TypeVar("T")


class Shared(Generic[T]):
    """Answers by question, each kept for a while; 200 dashboards that open at once ask the daemon once. For one event loop."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, asyncio.Future[T]]] = {}

    async def get(self, question: Hashable, seconds: float, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of the last `seconds`, or the one that is on its way, or a new one. A failure is told and not kept."""
        now_s = asyncio.get_running_loop().time()
        kept = self._kept.get(question)
        if kept is None or kept[0] <= now_s:
            self._forget(now_s)
            kept = (now_s + seconds, asyncio.ensure_future(ask()))
            kept[1].add_done_callback(lambda done: self._drop_failed(question, done))
            self._kept[question] = kept
        return await asyncio.shield(kept[1])

    def _drop_failed(self, question: Hashable, done: asyncio.Future[T]) -> None:
        if (done.cancelled() or done.exception() is not None) and self._kept.get(question, (0.0, None))[1] is done:
            del self._kept[question]

    def _forget(self, now_s: float) -> None:
        for question in [q for q, (until_s, _) in self._kept.items() if until_s <= now_s]:
            del self._kept[question]
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
