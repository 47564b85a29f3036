"""The loaders of live events, most capable first: what `--loader auto` tries, in this order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from brainkernel.clock import Clock
    from brainkernel.sense.loader import Loader

PROC = Path("/proc")


def live_loaders(
    *, clock: Clock, all_events: bool = False, run_queue: bool = True, proc: Path = PROC
) -> Mapping[str, Callable[[], Loader]]:
    """Factories for `loader.choose`. A loader's module is imported when its factory is called, not before."""

    def core() -> Loader:
        from brainkernel.sense.core import CoreLoader, CoreOptions  # noqa: PLC0415 # only the chosen one costs memory

        return CoreLoader(CoreOptions(all_events=all_events, run_queue=run_queue, proc=proc), clock)

    def bcc() -> Loader:
        from brainkernel.sense.bcc import BccLoader  # noqa: PLC0415 # as above
        from brainkernel.sense.stream import StreamOptions  # noqa: PLC0415 # as above

        return BccLoader(StreamOptions(all_events=all_events, run_queue=run_queue, proc=proc), clock)

    def netlink() -> Loader:
        from brainkernel.sense.netlink import NetlinkLoader  # noqa: PLC0415 # as above
        from brainkernel.sense.stream import StreamOptions  # noqa: PLC0415 # as above

        return NetlinkLoader(StreamOptions(all_events=all_events, proc=proc), clock)

    return {"core": core, "bcc": bcc, "netlink": netlink}
