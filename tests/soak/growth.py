"""What of an agent may not grow: memory, descriptors, threads, entries of the kernel's maps, bytes on disk."""

from __future__ import annotations

import json
import statistics
import subprocess
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20
CACHES_HOLD = 1 << 17  # all of them together, by their definitions
# Of an array all entries are always there; an LRU map is a cache that fills up, and the kernel holds its bound.
_LEAKING, _CACHING = ("hash", "percpu_hash"), ("lru_hash", "lru_percpu_hash")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the process."""

    resident_bytes: int
    descriptors: int
    threads: int
    map_entries: int
    cache_entries: int
    disk_bytes: int


# How much more of each the last third of a soak may have than the second. Memory: on its way to its bound of 65,536 pairs of
# program and parent, half of which a database can hold, the gate's table is made anew once, twice as large (9.5 MiB). Disk: figures
# over time are kept by the minute for longer than a week, and take 64 MiB at most (store/series.py).
MAY_GROW = Sample(resident_bytes=12 * MIB, descriptors=1, threads=1, map_entries=64, cache_entries=CACHES_HOLD, disk_bytes=8 * MIB)


def sample_of(pid: int, folder: Path) -> Sample:
    """Look at a process and at all files below `folder`."""
    proc = Path("/proc", str(pid))
    status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
    maps = _maps_of(proc)
    return Sample(
        resident_bytes=int(status["VmRSS"].split()[0]) << 10,
        descriptors=len(list((proc / "fd").iterdir())),
        threads=int(status["Threads"]),
        map_entries=sum(_entries_of(identifier, _LEAKING) for identifier in maps),
        cache_entries=sum(_entries_of(identifier, _CACHING) for identifier in maps),
        # Without SQLite's logs: they are written back by and by, and begin anew.
        disk_bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.name.endswith(("-wal", "-shm"))),
    )


def grown(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """What is more in the last third than in the second by more than it may: the medians of both."""
    third = len(samples) // 3
    found = {}
    for field in fields(Sample):
        second, last = (
            statistics.median(getattr(sample, field.name) for sample in part) for part in (samples[third : 2 * third], samples[2 * third :])
        )
        if last > second + getattr(MAY_GROW, field.name):
            found[field.name] = (second, last)
    return found


def _maps_of(proc: Path) -> set[int]:
    found = set()
    for file in (proc / "fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed since
            found |= {int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("map_id:")}
    return found


def _entries_of(identifier: int, types: tuple[str, ...]) -> int:
    if _bpftool("map", "show", "id", str(identifier))["type"] not in types:
        return 0
    return len(_bpftool("map", "dump", "id", str(identifier)))


def _bpftool(*words: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(subprocess.run(["bpftool", "-j", *words], capture_output=True, check=True).stdout)
    return found
