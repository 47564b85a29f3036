"""How long our BPF programs run, by the kernel's own clock: only while somebody has set kernel.bpf_stats_enabled (sysctl), as it costs.

The kernel keeps it per program (struct bpf_prog_info, include/uapi/linux/bpf.h, since 5.1).
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from ctypes import c_char, c_uint32, c_uint64
from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.errors import SenseError
from brainkernel.sense import libbpf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.metrics import Figures

_NS_PER_S = 1e9


# As far as run_cnt; the kernel fills what it is told there is room for.
class _ProgramInfo(ctypes.Structure):
    _fields_ = (
        ("_head", c_uint32 * 16),
        ("name", c_char * 16),
        ("_middle", c_uint64 * 14),
        ("run_time_ns", c_uint64),
        ("run_count", c_uint64),
    )


class ProgramTimes:
    """Sets the metrics of the programs that this process holds, by whichever loader."""

    def __init__(self, proc: Path, figures: Figures) -> None:
        self._switch = f"{proc}/sys/kernel/bpf_stats_enabled"
        self._descriptors = proc / "self/fdinfo"
        self._figures = figures

    def read(self) -> None:
        """Read them, if the kernel counts; figures of before stay as they were."""
        try:
            with open(self._switch, "rb") as file:  # noqa: PTH123 # each second
                if file.read().strip() != b"1":
                    return
        except OSError:
            return
        sums: dict[str, tuple[int, int]] = {}
        with suppress(SenseError):
            for descriptor in self._programs():
                info = _info_of(descriptor)
                name = info.name.decode("ascii", "replace")
                run_time_ns, runs = sums.get(name, (0, 0))
                sums[name] = run_time_ns + info.run_time_ns, runs + info.run_count
        for name, (run_time_ns, runs) in sums.items():
            self._figures.set(metrics.BPF_SECONDS, run_time_ns / _NS_PER_S, name)
            self._figures.set(metrics.BPF_RUNS, runs, name)

    def _programs(self) -> Iterator[int]:
        for file in self._descriptors.iterdir():
            with suppress(OSError):  # closed meanwhile
                if "\nprog_id:" in (text := file.read_text(encoding="ascii")) and "\nlink_id:" not in text:
                    yield int(file.name)


def _info_of(descriptor: int) -> _ProgramInfo:
    info, size = _ProgramInfo(), c_uint32(ctypes.sizeof(_ProgramInfo))
    libbpf.read_info(descriptor, ctypes.byref(info), ctypes.byref(size))
    return info
