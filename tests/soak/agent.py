"""The agent of a soak: all its parts over the real kernel and disk, on a clock that runs many times too fast."""

from __future__ import annotations

import logging
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from brainkernel.composition import Paths, compose
from brainkernel.config import load
from brainkernel.opening import Opening
from brainkernel.report import Everybody

TURN_S = 0.002  # each turn is a tick: some 5 s of simulated time


@dataclass(frozen=True, slots=True)
class HurriedClock:
    """The host's clocks, each second of which counts as `speed` seconds from now on."""

    speed: float
    began_boot_ns: int = field(default_factory=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME))
    began_wall_ns: int = field(default_factory=time.time_ns)

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME, hurried."""
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return self.began_boot_ns + int((now_ns - self.began_boot_ns) * self.speed)

    def wall_ns(self) -> int:
        """CLOCK_REALTIME, hurried."""
        return self.began_wall_ns + self.boot_ns() - self.began_boot_ns


def main() -> None:
    """Run until SIGTERM; a line on stdout says that it is ready."""
    folder, speed = Path(sys.argv[1]), float(sys.argv[2])
    logging.basicConfig(level=logging.ERROR)
    paths = Paths(state_dir=folder / "state", runtime_dir=folder / "run", config_file=folder / "brainkernel.toml")
    clock = HurriedClock(speed)
    opening = Opening(load(paths.config_file).agent, clock, paths.proc)
    agent = compose(lambda: load(paths.config_file), paths, clock, Everybody(()), opening.chosen)  # nobody is there to be told
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    with select.epoll() as epoll:
        watched = {w.source.fileno(): w for w in agent.sources()}
        for descriptor, one in watched.items():
            epoll.register(descriptor, one.events)
        print("ready", flush=True)
        while not stopping:
            for descriptor, _events in epoll.poll(TURN_S):
                watched[descriptor].callback()
            agent.between()
            agent.tick()
            agent.headline()
    agent.release_all(10)
    agent.close()


if __name__ == "__main__":
    main()
