"""A program that is started, left to settle, loaded, read, and ended."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.bench import Bench

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
_QUIET_S = 0.4
_QUIET_SHARE = 0.1  # of a CPU: what ticks each second is never at zero


class ContenderError(Exception):
    """It did not run as it should; the text says what it wrote last."""


@dataclass(slots=True)
class Running:
    """One that runs."""

    process: subprocess.Popen[bytes]
    output: Path
    others: list[int] = field(default_factory=list)  # processes not below it that work for it

    @property
    def pid(self) -> int:
        """The one that was started."""
        return self.process.pid

    def cpu_ns(self) -> int:
        """Of all its processes."""
        return sum(processes.cpu_ns(pid) for pid in (*processes.family_of(self.pid), *self.others))

    def settle(self) -> None:
        """Wait until it has nothing more to do. Raises ContenderError if it ended, or is busy for a minute."""
        deadline = time.monotonic() + START_TIMEOUT_S
        before = -1
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                msg = f"it ended with {self.process.returncode}: {self._last_words()}"
                raise ContenderError(msg)
            now = self.cpu_ns()
            if before >= 0 and now - before < _QUIET_SHARE * _QUIET_S * 1e9:
                return
            before = now
            time.sleep(_QUIET_S)
        msg = f"it is still busy after {START_TIMEOUT_S:g} s"
        raise ContenderError(msg)

    def lines_with(self, text: bytes) -> int:
        """How many lines it printed that contain this."""
        with self.output.open("rb") as lines:
            return sum(text in line for line in lines)

    def _last_words(self) -> str:
        lines = self.output.with_suffix(".err").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@dataclass(frozen=True, slots=True)
class Contender:
    """How to run one of them. Output goes to a file, so that nobody pays for a slow reader."""

    name: str
    command: Callable[[Bench], list[str]]
    missing: Callable[[], str | None] = lambda: None  # why it cannot run here
    ends_by: signal.Signals = signal.SIGINT  # what makes it end in good order
    around: Callable[[Bench], AbstractContextManager[list[int]]] | None = None  # what must be set meanwhile, and who else works for it

    @contextlib.contextmanager
    def running(self, bench: Bench) -> Iterator[Running]:
        """Run it from when it has settled until the end of the block. Raises ContenderError."""
        folder = bench.folder(self.name.replace(" ", "-"))
        output = folder / "output"
        with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(self.command(bench), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            running = Running(process, output)
            try:
                time.sleep(_QUIET_S)
                with self.around(bench) if self.around is not None else contextlib.nullcontext([]) as running.others:
                    running.settle()
                    yield running
            finally:
                stop(process, self.ends_by)


def stop(process: subprocess.Popen[bytes], ends_by: signal.Signals = signal.SIGINT) -> None:
    """End it, by default as Ctrl-C does, so that it prints what it holds back."""
    if process.poll() is None:
        process.send_signal(ends_by)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def missing_tool(name: str, package: str) -> str | None:
    """Why a peer cannot be measured, for one that is a single command."""
    return None if shutil.which(name) else f"{name} is not installed (apt-get install {package})"
