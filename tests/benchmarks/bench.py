"""What every row is given: how often, how much, where, and how to say what is under way."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCES = Path(__file__).parent / "c"
PROGRAM = "/bin/true"


class Cost(NamedTuple):
    """What one load took."""

    starts: int
    wall_ns: int
    cpu_ns: int

    @property
    def cpu_us_each(self) -> float:
        """CPU time of the load itself."""
        return self.cpu_ns / self.starts / 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run of the benchmark."""

    directory: Path  # empty, for this run alone
    runs: int = 5
    spawns: int = 10_000
    rates: tuple[int, ...] = ()
    seconds: float = 10.0  # at each rate
    say: Callable[[str], None] = field(default=lambda _text: None)

    def tool(self, name: str) -> Path:
        """A load of ours, compiled when it is first wanted."""
        binary = self.directory / name
        if not binary.exists():
            flags = ["-static", "-nostdlib", "-s", "-Wl,--build-id=none"] if name == "tiny" else []
            subprocess.run(["clang", "-O2", "-Wall", "-Werror", *flags, "-o", binary, SOURCES / f"{name}.c"], check=True)
        return binary

    def storm(self, count: int, rate: float = 0, *, program: str = PROGRAM, copies: Path | None = None) -> Cost:
        """Start a program `count` times, one after the other; with `copies`, each time a file of its own there."""
        where = [str(copies)] if copies is not None else []
        return self._cost("storm", str(count), str(rate), program, *where)

    def pingpong(self, rounds: int, cpu: int) -> Cost:
        """Switch between two processes on one CPU, twice a round."""
        return self._cost("pingpong", str(rounds), str(cpu))

    @contextlib.contextmanager
    def sleepers(self, count: int) -> Iterator[None]:
        """So many processes that do nothing, until the end of the block."""
        command: list[str | Path] = [self.tool("sleepers"), str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # as PIPE was asked for
            process.stdout.readline()
            yield

    def folder(self, name: str) -> Path:
        """A new directory that nobody used yet."""
        number = 0
        while (path := self.directory / f"{name}-{number}").exists():
            number += 1
        path.mkdir(parents=True)
        return path

    def _cost(self, tool: str, *words: str) -> Cost:
        done = subprocess.run([self.tool(tool), *words], check=True, capture_output=True, text=True)
        return Cost(*(int(word) for word in done.stdout.split()))
