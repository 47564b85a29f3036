"""On what was measured."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One host at one time."""

    kernel: str
    cpu: str
    cpus: int
    memory_mb: int
    load: float  # before anything of ours ran
    time: str

    def text(self) -> str:
        """One line."""
        return f"kernel {self.kernel}, {self.cpus} x {self.cpu}, {self.memory_mb} MB, load {self.load:.2f}, {self.time}"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def read() -> Machine:
    """This one, now."""
    models = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return Machine(
        kernel=platform.release(),
        cpu=models[0] if models else platform.machine(),
        cpus=os.cpu_count() or 1,
        memory_mb=os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        load=os.getloadavg()[0],
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
