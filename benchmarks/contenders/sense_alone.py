"""The sense stage without the rest of the agent: every record of the kernel becomes a `ProcessEvent`.

Run as a program; it prints what it received when it ends. Like the agent it tells the gate of each program once it has
seen it: with all events wanted that keeps nothing back, but what is known no longer asks for a wakeup of its own.
"""

from __future__ import annotations

import json
import select
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING

from brainkernel.agent import DRAIN_DUE_S
from brainkernel.model import Exec
from brainkernel.sense.core import CoreLoader, CoreOptions

if TYPE_CHECKING:
    from brainkernel.model import FileId


def main() -> None:
    """Receive until SIGINT or SIGTERM."""
    counts: Counter[str] = Counter()
    met: set[FileId | None] = set()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with CoreLoader(CoreOptions(all_events=True)) as loader, select.epoll() as epoll:
        epoll.register(loader.fileno(), select.EPOLLIN)
        try:
            while True:
                epoll.poll(DRAIN_DUE_S)
                for event in loader.drain():
                    counts[type(event).__name__] += 1
                    if isinstance(event, Exec) and event.file not in met:
                        met.add(event.file)
                        loader.remember(event.identity)
        except KeyboardInterrupt:
            json.dump({**counts, "mismatches": loader.counters().mismatches()}, sys.stdout)


if __name__ == "__main__":
    main()
