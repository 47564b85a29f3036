"""The loader opens first, while the rest of the agent is still being imported and put together.

So the agent is blind for a shorter time: what starts meanwhile waits in the ring. And libbpf's copy of the kernel's types,
14 MB that it gives back, does not come on top of everything else.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from brainkernel.sense.loader import choose
from brainkernel.sense.loaders import live_loaders

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.clock import Clock
    from brainkernel.config import Agent
    from brainkernel.sense.loader import Chosen


class Opening:
    """Opens a loader in a thread of its own: nearly all of it is the kernel's work, for which Python need not wait."""

    def __init__(self, config: Agent, clock: Clock, proc: Path) -> None:
        """Begin. `proc` is the mount point of procfs."""
        self._wanted = config.loader
        self._factories = live_loaders(clock=clock, all_events=config.all_events, proc=proc)
        self._chosen: Chosen | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._open, name="opening", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the loader, also one that nobody has asked for."""
        self._thread.join()
        if self._chosen is not None:
            self._chosen.loader.close()

    def chosen(self) -> Chosen:
        """Wait until it is open; it belongs to the thread that asks. Raises what `choose` raises."""
        self._thread.join()
        if self._chosen is None:
            raise self._error or RuntimeError
        return self._chosen

    def _open(self) -> None:
        try:
            self._chosen = choose(self._wanted, self._factories)
        except Exception as error:  # noqa: BLE001 # it is raised where the loader is asked for
            self._error = error
