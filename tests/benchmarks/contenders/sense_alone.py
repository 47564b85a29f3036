"""The sense stage without the rest of the agent: every record of the kernel becomes a `ProcessEvent`.

Run as a program; it prints what it received when it ends. Like the agent it tells the gate of each program once it has
seen it: with all events wanted that keeps nothing back, but what is known no longer asks for a wakeup of its own.
"""

from __future__ import annotations

import json
import select
import signal
import sys

from brainkernel.agent import DRAIN_DUE_S
from brainkernel.model import Exec
from brainkernel.sense.core import CoreLoader, CoreOptions


def main() -> None:
    """Receive until SIGINT or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with CoreLoader(CoreOptions(all_events=True)) as loader, select.epoll() as epoll:
        epoll.register(loader.fileno(), select.EPOLLIN)
        try:
            while True:
                epoll.poll(DRAIN_DUE_S)
                while events := loader.drain():
                    for event in events:
                        if isinstance(event, Exec) and not event.remembered:
                            loader.remember(event.identity)
        except KeyboardInterrupt:
            loader.drain()
            counters = loader.counters()
            json.dump({**counters.received, "mismatches": counters.mismatches()}, sys.stdout)


if __name__ == "__main__":
    main()
