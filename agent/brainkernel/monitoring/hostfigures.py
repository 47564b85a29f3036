"""What the host and this process use, read from /proc (proc(5), Documentation/accounting/psi.rst)."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from brainkernel import metrics

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.metrics import Figures

_KIB = 1024
_IDLE, _IOWAIT = 3, 4  # fields of the line "cpu" of /proc/stat: user nice system idle iowait irq softirq steal
_OWN_TIME = 8  # guest time is counted in user time already
_SOME_TOTAL = re.compile(r"^some .*\btotal=(\d+)", re.MULTILINE)
_RESOURCES = ("cpu", "memory", "io")
_FILES = ("state.db", "state.db-wal", "series.db", "series.db-wal")


class HostFigures:
    """Sets the gauges of the host; what the kernel does not offer is left out."""

    def __init__(self, proc: Path, state_dir: Path, figures: Figures) -> None:
        self._proc = proc
        self._state_dir = state_dir
        self._figures = figures
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
        if load := self._text("loadavg").split():
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
        fields = self._text("stat").partition("\n")[0].split()
        if len(fields) <= _IOWAIT + 1 or fields[0] != "cpu":
            return
        ticks = [int(f) for f in fields[1 : 1 + _OWN_TIME]]
        whole = sum(ticks)
        busy = whole - ticks[_IDLE] - ticks[_IOWAIT]
        if self._busy is not None and whole > self._busy[1]:
            self._figures.set(metrics.HOST_CPU, max(0.0, (busy - self._busy[0]) / (whole - self._busy[1])))
        self._busy = (busy, whole)

    def _read_memory(self) -> None:
        wanted = {"MemTotal:": "total", "MemAvailable:": "available"}
        for line in self._text("meminfo").splitlines()[:4]:
            words = line.split()
            if words and (state := wanted.get(words[0])):
                self._figures.set(metrics.HOST_MEMORY, int(words[1]) * _KIB, state)

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
            return (self._proc / name).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return ""
