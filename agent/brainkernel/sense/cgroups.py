"""Which cgroup a process or a kernel record belongs to, as a path below the root of its hierarchy."""

from __future__ import annotations

import contextlib
import ctypes
import os
from dataclasses import dataclass
from pathlib import Path, PurePath

_FILEID_KERNFS = 0xFE  # include/linux/exportfs.h
_HANDLE_BYTES = 8
_ROOT_ID = 1  # of the whole hierarchy: kernfs gives its root the first number


class _FileHandle(ctypes.Structure):
    _fields_ = (("handle_bytes", ctypes.c_uint32), ("handle_type", ctypes.c_int32), ("id", ctypes.c_uint64))


def cgroup_of_lines(text: str) -> str:
    """The path out of /proc/PID/cgroup: the unified hierarchy's, or where that is not used, systemd's own."""
    unified = named = ""
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            unified = path
        elif controllers == "name=systemd":
            named = path
    return unified if unified not in ("", "/") else named or unified


def read_cgroup(proc: Path, tgid: int) -> str | None:
    """The cgroup a process is in now; None if it is gone."""
    try:
        with open(f"{proc}/{tgid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 # event path
            return cgroup_of_lines(file.read())
    except OSError:
        return None


def read_cgroup_id(mounts: CgroupMounts, path: str) -> int:
    """The id of a cgroup by its path; 0 if it is gone, or where processes are not placed in the unified hierarchy."""
    if mounts.unified is None or mounts.has_named:
        return 0
    try:
        return os.stat(f"{mounts.unified}{path}").st_ino  # noqa: PTH116 # event path
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class CgroupMounts:
    """Where the hierarchies are that name a process's place."""

    unified: Path | None  # cgroup v2: /sys/fs/cgroup, or .../unified on a hybrid host
    has_named: bool  # systemd keeps its tree in a v1 hierarchy: the unified one is then empty


def read_mounts(proc: Path) -> CgroupMounts:
    """Find them in /proc/self/mounts; nothing there is no error."""
    unified = None
    has_named = False
    try:
        lines = (proc / "self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, where, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            unified = unified or Path(where)
        has_named |= kind == "cgroup" and "name=systemd" in options.split(",")
    return CgroupMounts(unified, has_named)


def ids_within(mounts: CgroupMounts, path: str) -> set[int]:
    """The id of a cgroup and those of all below it; empty if it is gone."""
    if mounts.unified is None:
        return set()
    ids = set()
    for folder, _, _ in os.walk(f"{mounts.unified}{path}"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            ids.add(os.stat(folder).st_ino)  # noqa: PTH116 # each second while a limit stands
    return ids


class CgroupPaths:
    """Finds the path of a cgroup id, and remembers it: bounded, the oldest entry goes first.

    An id is the inode of the cgroup's directory, which open_by_handle_at(2) opens in one call even when the process
    that was in it has ended. That needs CAP_DAC_READ_SEARCH; without it /proc/PID/cgroup of the process is asked.
    """

    def __init__(self, proc: Path, mounts: CgroupMounts, capacity: int = 4096) -> None:
        """`proc` is the mount point of procfs."""
        self._proc = proc
        self._mounts = mounts
        self._mount_fd: int | None = None
        self._capacity = capacity
        self._paths: dict[int, str] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)

    def close(self) -> None:
        """Close the mount point."""
        if self._mount_fd is not None:
            os.close(self._mount_fd)
            self._mount_fd = None

    def of(self, cgroup_id: int, tgid: int) -> str:
        """The path of this id, of which `tgid` was a member (0: do not ask it); "" if nobody knows."""
        path = self._paths.get(cgroup_id)
        if path is not None:
            return path
        if not self._mounts.has_named and (path := self._by_handle(cgroup_id)) is not None:
            self._remember(cgroup_id, path)
            return path
        # The process may have been moved since, so what it says is not remembered as the id's.
        return (read_cgroup(self._proc, tgid) if tgid else None) or ""

    def level_of(self, cgroup_id: int) -> int | None:
        """How deep in the host's tree it is; None if nobody knows, or what is mounted here is only a part of the tree."""
        path = self.of(cgroup_id, 0)
        try:
            is_whole = self._mounts.unified is not None and self._mounts.unified.stat().st_ino == _ROOT_ID
        except OSError:
            return None
        return len(PurePath(path).parts) - 1 if path and is_whole else None

    def _remember(self, cgroup_id: int, path: str) -> None:
        if len(self._paths) >= self._capacity:
            del self._paths[next(iter(self._paths))]
        self._paths[cgroup_id] = path

    def _by_handle(self, cgroup_id: int) -> str | None:
        mount = self._mounts.unified
        if mount is None:
            return None
        try:
            if self._mount_fd is None:
                self._mount_fd = os.open(mount, os.O_DIRECTORY | os.O_CLOEXEC)
            handle = _FileHandle(_HANDLE_BYTES, _FILEID_KERNFS, cgroup_id)
            fd = self._libc.open_by_handle_at(self._mount_fd, ctypes.byref(handle), os.O_PATH | os.O_CLOEXEC)
            if fd < 0:
                return None
            try:
                path = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 # in the event path: Path costs 10 us
            finally:
                os.close(fd)
        except OSError:
            return None
        return "/" + path.removeprefix(str(mount)).lstrip("/")
