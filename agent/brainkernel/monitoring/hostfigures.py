"""What the host and this process use, read from /proc (proc(5), Documentation/accounting/psi.rst)."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol

from brainkernel import metrics

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.metrics import Figures

_KIB = 1024
_IDLE, _IOWAIT = 3, 4  # fields of the line "cpu" of /proc/stat: user nice system idle iowait irq softirq steal
_OWN_TIME = 8  # guest time is counted in user time already
_SOME_TOTAL = re.compile(r"^some .*\btotal=(\d+)", re.MULTILINE)
_CPU = re.compile(r"cpu ((?: \d+){5,})")
_MEMORY = re.compile(r"^Mem(Total|Available):\s+(\d+) kB", re.MULTILINE)
_LOAD = re.compile(r"\d+\.\d+")
_RESOURCES = ("cpu", "memory", "io")
_FILES = ("state.db", "state.db-wal", "series.db", "series.db-wal")


class Reads(Protocol):
    """Something that sets gauges of its own."""

    def read(self) -> None:
        """Each second."""
        ...


class HostFigures:
    """Sets the gauges of the host; what the kernel does not offer is left out."""

    def __init__(self, proc: Path, state_dir: Path, figures: Figures, others: tuple[Reads, ...] = ()) -> None:
        """`others` are read along with it."""
        self._proc = f"{proc}/"
        self._state_dir = state_dir
        self._figures = figures
        self._others = others
        self._busy: tuple[int, int] | None = None  # ticks in use, ticks of all
        self._stalled_us: dict[str, int] = {}
        self._read_ns = 0

    def read(self, now_ns: int) -> None:
        """Read all; shares are of the time since the last call (CLOCK_BOOTTIME)."""
        elapsed_us = (now_ns - self._read_ns) / 1_000
        self._read_ns = now_ns
        self._read_cpu()
        self._read_memory()
        self._read_pressure(elapsed_us)
        for other in self._others:
            other.read()
        if load := _LOAD.match(self._text("loadavg")):
            self._figures.set(metrics.HOST_LOAD, float(load[0]))
        self._figures.set(metrics.CPU_SECONDS, time.process_time(), "daemon")

    def read_sizes(self) -> None:
        """Measure the files of the state directory."""
        for name in _FILES:
            try:
                size = (self._state_dir / name).stat().st_size
            except OSError:
                size = 0
            self._figures.set(metrics.STATE_BYTES, size, name)

    def _read_cpu(self) -> None:
        if not (line := _CPU.match(self._text("stat"))):
            return
        ticks = [int(f) for f in line[1].split()[:_OWN_TIME]]
        whole = sum(ticks)
        busy = whole - ticks[_IDLE] - ticks[_IOWAIT]
        if self._busy is not None and whole > self._busy[1]:
            self._figures.set(metrics.HOST_CPU, max(0.0, (busy - self._busy[0]) / (whole - self._busy[1])))
        self._busy = (busy, whole)

    def _read_memory(self) -> None:
        for name, kib in _MEMORY.findall(self._text("meminfo")):
            self._figures.set(metrics.HOST_MEMORY, int(kib) * _KIB, name.lower())

    def _read_pressure(self, elapsed_us: float) -> None:
        for resource in _RESOURCES:
            if not (match := _SOME_TOTAL.search(self._text(f"pressure/{resource}"))):
                continue
            total_us = int(match[1])
            if (before_us := self._stalled_us.get(resource)) is not None and elapsed_us > 0:
                self._figures.set(metrics.HOST_PRESSURE, min(1.0, max(0, total_us - before_us) / elapsed_us), resource)
            self._stalled_us[resource] = total_us

    def _text(self, name: str) -> str:
        try:
            with open(self._proc + name, "rb") as file:  # noqa: PTH123 # seven files each second: Path takes 15 us more for each
                return file.read().decode("ascii")
        except (OSError, UnicodeDecodeError):
            return ""
