"""cgroup v2: reading any of it, and the one function that writes, for a subtree of our own.

Where systemd runs it owns the tree, and writing into a cgroup that it made violates its contract
(https://systemd.io/CGROUP_DELEGATION, "Don't write to attributes of a cgroup systemd created for you").
"""

from __future__ import annotations

import enum
import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from brainkernel.act.procfs import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from brainkernel.model import Limit

T = TypeVar("T")

# The kernel's values of a cgroup that nobody limited. The files are absent while the controller is off.
KERNEL_DEFAULTS = {
    "cpu.weight": "100",
    "cpu.idle": "0",
    "cpu.max": "max 100000",
    "io.weight": "default 100",
    "memory.high": "max",
}
CPU_FILES = ("cpu.weight", "cpu.idle", "cpu.max")
LIMIT_FILES = tuple(KERNEL_DEFAULTS)
# Of any other cgroup than the kernel's root: what confines its processes, with the value that confines nobody.
_UNCONFINED = {
    "memory.max": "max",
    "memory.high": "max",
    "memory.low": "0",
    "memory.min": "0",
    "cpuset.cpus": "",
    "cpuset.mems": "",
    "io.max": "",
}
MAX_FILE_BYTES = 1 << 16
PERIOD_US = 100_000  # of cpu.max: the kernel's and systemd's default
MAX_MEMBERS = 4096  # a unit with more processes than this is not one program
_NOT_SET = 2**64 - 1
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENOTDIR)  # ENODEV: the directory is open but was removed
QUOTA_TOLERANCE = 0.001  # of cpu.max, which systemd rounds to whole microseconds


class CgroupVersion(enum.StrEnum):
    """Which cgroup interface the host has at its cgroup root."""

    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"


def version_of(mountinfo: str, root: Path) -> CgroupVersion:
    """Tell the version from /proc/self/mountinfo: it also shows hybrid, where statfs only says "not v2"."""
    at_root, anywhere = "", set()
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind = right.split(" ", 1)[0]
        anywhere.add(kind)
        if left.split()[4] == str(root):
            at_root = kind  # the last mount on a directory is the one that is seen
    if at_root == "cgroup2":
        return CgroupVersion.V2
    return CgroupVersion.HYBRID if "cgroup2" in anywhere else CgroupVersion.V1


def path_of(proc_cgroup: str) -> str | None:
    """The v2 line of /proc/PID/cgroup; None if there is none or its cgroup was removed.

    A path that leaves our cgroup namespace ("/../x") is none of ours to touch: None too.
    """
    for line in proc_cgroup.splitlines():
        if line.startswith("0::"):
            path = line[3:]
            return None if path.endswith(" (deleted)") or path.startswith("/..") else path
    return None


def read_path(proc: Path, tgid: int) -> str | None:
    """The v2 cgroup that a process is in, by `path_of`; None if it is gone, too."""
    return path_of(text_of(proc / str(tgid) / "cgroup") or "")


class Cgroup:
    """One cgroup directory, held open: what is read is of this directory, even if its path is used again."""

    def __init__(self, fd: int) -> None:
        """Take over a directory fd; `open_cgroup` makes one."""
        self.fd = fd
        self.id = os.fstat(fd).st_ino

    def read(self, name: str) -> str | None:
        """One attribute without its line end; None if it is not there (controller off) or the cgroup is gone."""
        return _none_if_gone(lambda: self._read(name))

    def _read(self, name: str) -> str:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.fd)
        with open(fd, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 # an fd has no path
            return file.read(MAX_FILE_BYTES).strip()

    def limits(self) -> dict[str, str]:
        """The attributes that a limit changes, without those that are not there."""
        return {name: value for name in LIMIT_FILES if (value := self.read(name)) is not None}

    def confines(self) -> tuple[str, ...]:
        """The attributes by which it confines its processes beside CPU: who is moved out of it loses these."""
        return tuple(name for name, free in _UNCONFINED.items() if self.read(name) not in (None, free))


def _none_if_gone(read: Callable[[], T]) -> T | None:
    # The one place where "gone" is told from "broken".
    try:
        return read()
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def _raise_unless_gone(error: OSError) -> None:
    if error.errno not in _GONE:  # os.walk would pass over it: nobody seen is not nobody there
        raise error


class CgroupWriter(Protocol):
    """What a subtree of our own needs. All raise OSError."""

    def write(self, file: Path, text: str) -> None:
        """Write one attribute."""
        ...

    def make(self, directory: Path) -> None:
        """Make a cgroup; one that is there already is no error."""
        ...

    def remove(self, directory: Path) -> bool:
        """Remove a cgroup, or find it gone; False while somebody lives in or below it."""
        ...


class KernelCgroups:
    """The only writer of cgroupfs."""

    def write(self, file: Path, text: str) -> None:
        """Write one attribute, in one call as the kernel wants it."""
        file.write_text(f"{text}\n")

    def make(self, directory: Path) -> None:
        """Make a cgroup; one that is there already is no error."""
        directory.mkdir(exist_ok=True)

    def remove(self, directory: Path) -> bool:
        """Remove a cgroup, or find it gone; False while somebody lives in or below it."""
        try:
            directory.rmdir()
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
                return False
            if error.errno not in _GONE:
                raise
        return True


@contextmanager
def open_cgroup(root: Path, path: str) -> Iterator[Cgroup | None]:
    """Hold the cgroup at `path` below the root open; None if there is none."""
    fd = _none_if_gone(lambda: os.open(root / path.lstrip("/"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW))
    if fd is None:
        yield None
        return
    try:
        yield Cgroup(fd)
    finally:
        os.close(fd)


def pids_below(root: Path, path: str) -> tuple[int, ...]:
    """The processes of a cgroup and of all below it; at most `MAX_MEMBERS`, after which it stops looking."""
    found: list[int] = []
    for directory, _, _ in os.walk(root / path.lstrip("/"), onerror=_raise_unless_gone):
        try:
            procs = text_of(Path(directory) / "cgroup.procs")
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENODEV):
                continue  # a threaded cgroup: its processes are listed at the root of the threaded subtree; or it went
            raise
        found += [int(pid) for pid in (procs or "").split()]
        if len(found) >= MAX_MEMBERS:
            break
    return tuple(found[:MAX_MEMBERS])


def read_limits(root: Path, path: str) -> tuple[int, dict[str, str]] | None:
    """The inode of a cgroup and what limits it; None if it is gone."""
    with open_cgroup(root, path) as cgroup:
        return None if cgroup is None else (cgroup.id, cgroup.limits())


def read_cpu_stat(root: Path, path: str) -> dict[str, int]:
    """`cpu.stat` by its names (usage_usec, nr_throttled, throttled_usec ...); empty if the cgroup is gone."""
    text = text_of(root / path.lstrip("/") / "cpu.stat")
    return {name: int(value) for name, value in (line.split() for line in (text or "").splitlines())}


def quota_us_of(cpu_quota_pct: float) -> int:
    """The quota in microseconds of CPU per second, in whole percents of one CPU.

    systemd writes whole percents into its drop-in and reads that at the next daemon-reload: any other value
    would change by itself then and look like somebody else's.
    """
    return max(1, round(cpu_quota_pct)) * 10_000


def expected_files(limit: Limit, before: Mapping[str, str]) -> dict[str, str]:
    """What the files show once `limit` stands; what it does not name stays as it was before."""
    shown = {name: before.get(name) or default for name, default in KERNEL_DEFAULTS.items()}
    if limit.cpu_weight is not None:
        shown |= _weight_files_of(limit.cpu_weight)
    if limit.cpu_quota_pct is not None:
        shown["cpu.max"] = _max_of(quota_us_of(limit.cpu_quota_pct))
    if limit.io_weight is not None:
        shown["io.weight"] = f"default {limit.io_weight}"
    if limit.memory_high_bytes is not None:
        shown["memory.high"] = str(limit.memory_high_bytes)
    return shown


def files_of(properties: Mapping[str, int]) -> dict[str, str]:
    """What systemd writes for its properties; 2**64-1 is "not set"."""
    shown = dict(KERNEL_DEFAULTS)
    values = {name: value for name, value in properties.items() if value != _NOT_SET}
    if "CPUWeight" in values:
        shown |= _weight_files_of(values["CPUWeight"])
    if "CPUQuotaPerSecUSec" in values:
        shown["cpu.max"] = _max_of(values["CPUQuotaPerSecUSec"])
    if "IOWeight" in values:
        shown["io.weight"] = f"default {values['IOWeight']}"
    if "MemoryHigh" in values:
        shown["memory.high"] = str(values["MemoryHigh"])
    return shown


def _weight_files_of(weight: int) -> dict[str, str]:
    # The kernel shows the weight of an idle group as 0.
    return {"cpu.weight": str(weight), "cpu.idle": "1" if weight == 0 else "0"}


def _max_of(quota_us: int) -> str:
    return f"{quota_us * PERIOD_US // 1_000_000} {PERIOD_US}"


def same_value(name: str, one: str | None, other: str | None) -> bool:
    """Whether two readings of a file mean the same.

    An absent file (None, or "" as the ledger has it) means the kernel's default: systemd takes a controller away again when nobody needs it.
    cpu.max is compared by its share, since systemd chooses another period for very small quotas.
    """
    one, other = (value or KERNEL_DEFAULTS[name] for value in (one, other))
    if name != "cpu.max" or one == other:
        return one == other
    shares = [_share_of(value) for value in (one, other)]
    return None not in shares and abs(shares[0] - shares[1]) <= QUOTA_TOLERANCE  # type: ignore[operator]


def _share_of(cpu_max: str) -> float | None:
    quota, _, period = cpu_max.partition(" ")
    return None if quota == "max" else int(quota) / int(period)
