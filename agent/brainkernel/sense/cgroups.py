"""Which cgroup a process or a kernel record belongs to, as a path below the root of its hierarchy."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_FILEID_KERNFS = 0xFE  # include/linux/exportfs.h
_HANDLE_BYTES = 8


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


def find_cgroup2_mount(proc: Path) -> Path | None:
    """Where the unified hierarchy is mounted: /sys/fs/cgroup, or .../unified on a hybrid host; None if nowhere."""
    try:
        lines = (proc / "self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        _, where, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(where)
    return None


class CgroupPaths:
    """Finds the path of a cgroup id, and remembers it: bounded, the oldest entry goes first.

    An id is the inode of the cgroup's directory, which open_by_handle_at(2) opens in one call even when the process
    that was in it has ended. That needs CAP_DAC_READ_SEARCH; without it /proc/PID/cgroup of the process is asked.
    """

    def __init__(self, proc: Path, mount: Path | None, capacity: int = 4096) -> None:
        """`mount` is that of the unified hierarchy, None if there is none."""
        self._proc = proc
        self._mount = mount
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
        """The path of this id, of which `tgid` was a member; "" if nobody knows."""
        path = self._paths.get(cgroup_id)
        if path is None:
            path = self._by_handle(cgroup_id)
            # "/" may be the unused unified hierarchy of a v1 host: then the process knows better, and only for itself.
            if path is None or path == "/":
                return read_cgroup(self._proc, tgid) or path or ""
            self._remember(cgroup_id, path)
        return path

    def _remember(self, cgroup_id: int, path: str) -> None:
        if len(self._paths) >= self._capacity:
            del self._paths[next(iter(self._paths))]
        self._paths[cgroup_id] = path

    def _by_handle(self, cgroup_id: int) -> str | None:
        if self._mount is None:
            return None
        try:
            if self._mount_fd is None:
                self._mount_fd = os.open(self._mount, os.O_DIRECTORY | os.O_CLOEXEC)
            handle = _FileHandle(_HANDLE_BYTES, _FILEID_KERNFS, cgroup_id)
            fd = self._libc.open_by_handle_at(self._mount_fd, ctypes.byref(handle), os.O_PATH | os.O_CLOEXEC)
            if fd < 0:
                return None
            try:
                path = os.readlink(f"/proc/self/fd/{fd}")
            finally:
                os.close(fd)
        except OSError:
            return None
        return "/" + path.removeprefix(str(self._mount)).lstrip("/")
