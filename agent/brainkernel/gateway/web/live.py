"""The live figures: one question to the daemon every two seconds, however many look on."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection

LOG = logging.getLogger(__name__)
INTERVAL_S = 2.0
LOOKERS_MAX = 300
WANTED_MAX = 200  # names at once, those that most want: all five views together have a quarter of it
SILENCE_S = 15.0  # then a comment, so that whoever is in between does not take the stream for dead


class Live:
    """Server-sent events for everybody who looks on. Who is slow misses some and gets the newest; nothing piles up."""

    def __init__(self, ask: Callable[[Collection[str]], Awaitable[bytes]], interval_s: float = INTERVAL_S) -> None:
        """`ask` makes the data of one event, in one line, of all figures that somebody wants; not while nobody looks."""
        self._ask = ask
        self._interval_s = interval_s
        self._lookers = 0
        self._wanted: Counter[str] = Counter()
        self._newest = b""
        self._number = 0
        self._news = asyncio.Event()  # of the next event; a condition's lock does not outlive a client that goes amid a wait
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether nobody more is taken."""
        return self._lookers >= LOOKERS_MAX

    async def events(self, names: Collection[str]) -> AsyncIterator[bytes]:
        """Yield one event after the other, with these figures among others, until the client or the server ends it.

        It ends by itself where no answer can be made, a fault of ours: the browser says so, and comes again after `retry`.
        """
        self._lookers += 1
        self._wanted.update(names)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_asking())
        seen = 0
        try:
            yield b"retry: 3000\n\n"
            while seen < self._number or not self._task.done():
                seen, event = await self._after(seen)
                yield event
        finally:
            self._lookers -= 1
            self._wanted -= Counter(names)

    async def _after(self, seen: int) -> tuple[int, bytes]:
        if self._number <= seen:
            try:
                await asyncio.wait_for(self._news.wait(), SILENCE_S)
            except TimeoutError:
                return seen, b":\n\n"
        if self._number <= seen:
            return seen, b":\n\n"  # the last words of one who asks no more
        return self._number, self._newest

    async def _keep_asking(self) -> None:
        try:
            while self._lookers:
                data = await self._ask([name for name, _ in self._wanted.most_common(WANTED_MAX)])
                self._newest = b"data: " + data + b"\n\n"
                self._number += 1
                self._wake()
                await asyncio.sleep(self._interval_s)
        except Exception:  # whatever it is, nobody may wait in silence for what will not come
            LOG.exception("the live figures cannot be made")
        finally:
            self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
