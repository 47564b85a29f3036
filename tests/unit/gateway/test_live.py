"""The live figures, with clients that leave at any moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from brainkernel.gateway.web.live import Live

if TYPE_CHECKING:
    from collections.abc import Collection


def test_clients_that_leave_amid_a_wait_break_nothing() -> None:
    """The server cancels a stream again and again until it is gone: whoever stays gets the next event, and no fault is told."""

    async def run() -> None:
        asked = asyncio.Event()

        async def ask(_names: Collection[str]) -> bytes:
            await asked.wait()
            return b"{}"

        live = Live(ask)

        async def look() -> None:
            async for event in live.events(("host_cpu_pct",)):
                if event.startswith(b"data:"):
                    return

        leaving, staying = [asyncio.create_task(look()) for _ in range(50)], asyncio.create_task(look())
        await asyncio.sleep(0.01)
        for _ in range(3):
            for task in leaving:
                task.cancel()
            await asyncio.sleep(0)
        left = await asyncio.gather(*leaving, return_exceptions=True)
        asked.set()
        await staying

        assert {type(one) for one in left} == {asyncio.CancelledError}

    asyncio.run(asyncio.wait_for(run(), 20))
