"""The live figures, with clients that leave at any moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from brainkernel.gateway.web.live import Live

if TYPE_CHECKING:
    from collections.abc import Collection

    import pytest


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


def test_fault_of_ours_ends_the_streams_and_the_next_look_asks_anew(caplog: pytest.LogCaptureFixture) -> None:
    """A browser that is left without news would wait for ever in silence; one whose stream ends says so and comes again."""

    async def run() -> None:
        faults = [ValueError("a figure of a strange kind")]

        async def ask(_names: Collection[str]) -> bytes:
            await asyncio.sleep(0)
            if faults:
                raise faults.pop()
            return b"{}"

        live = Live(ask, interval_s=0.01)

        async def look() -> list[bytes]:
            return [event async for event in live.events(("host_cpu_pct",))]

        ended = await asyncio.gather(*(look() for _ in range(20)))
        again = live.events(("host_cpu_pct",))
        fresh = [await anext(again) for _ in range(3)]
        await again.aclose()  # type: ignore[attr-defined] # an async generator

        assert [events[0] for events in ended] == [b"retry: 3000\n\n"] * 20
        assert not any(event.startswith(b"data:") for events in ended for event in events)
        assert fresh[1:] == [b"data: {}\n\n"] * 2

    asyncio.run(asyncio.wait_for(run(), 20))

    assert [record.getMessage() for record in caplog.records] == ["the live figures cannot be made"]
