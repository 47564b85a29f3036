"""Which path a program file has. The kernel names a file by device, inode and ctime; people name it by path.

Also the other things of one process that only /proc tells. Whatever is gone, or is no longer what was asked for, is
None.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from brainkernel.model import CLOCK_TICK_NS, FileId, ProcessKey

if TYPE_CHECKING:
    from pathlib import Path

_DELETED = " (deleted)"  # appended by d_path() to the path of an unlinked file
STAT_TTY_NR, STAT_STARTTIME = 4, 19  # fields 7 and 22 of /proc/PID/stat, counted from the third: proc(5)
_NO_LOGINUID = 0xFFFF_FFFF


def file_id_of(status: os.stat_result) -> FileId:
    """The version of a file that stat(2) describes, in the kernel's encoding of devices."""
    return FileId(os.major(status.st_dev) << 20 | os.minor(status.st_dev), status.st_ino, status.st_ctime_ns)


def same_file(wanted: FileId, status: os.stat_result) -> bool:
    """Whether stat(2) describes this version of this file.

    The device is left out: btrfs gives stat(2) one of its own per subvolume, overlayfs at times that of a layer. The
    inode and a ctime in nanoseconds are specific enough.
    """
    return status.st_ino == wanted.ino and status.st_ctime_ns == wanted.ctime_ns


def fields_of_stat(line: bytes) -> list[bytes]:
    """The fields of /proc/PID/stat from the third on: the second is the name, which may hold anything."""
    return line.rpartition(b")")[2].split()


def _read_stat(proc: Path, tgid: int) -> list[bytes] | None:
    line = _read(f"{proc}/{tgid}/stat")
    return fields_of_stat(line) if line else None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 # in the event path: Path costs 10 us
            return file.read()
    except OSError:
        return None


def read_start_ns(proc: Path, tgid: int) -> int | None:
    """When a process started (boot time, in clock ticks as ProcessKey has it); None if there is none."""
    fields = _read_stat(proc, tgid)
    return int(fields[STAT_STARTTIME]) * CLOCK_TICK_NS if fields else None


def read_tty(proc: Path, tgid: int) -> int:
    """The device number of the controlling terminal; 0 if there is none, or no process."""
    fields = _read_stat(proc, tgid)
    return int(fields[STAT_TTY_NR]) if fields else 0


def read_comm(proc: Path, tgid: int) -> str | None:
    """The kernel's name of a process, at most 15 bytes; None if it is gone."""
    comm = _read(f"{proc}/{tgid}/comm")
    return comm.removesuffix(b"\n").decode("utf-8", "surrogateescape") if comm is not None else None


def read_loginuid(proc: Path, tgid: int) -> int | None:
    """Who logged in to start this, through whatever su and sudo; None if nobody did, or without CONFIG_AUDIT."""
    text = _read(f"{proc}/{tgid}/loginuid")
    return int(text) if text and int(text) != _NO_LOGINUID else None


def is_same_process(proc: Path, key: ProcessKey) -> bool:
    """Whether this pid is still this process."""
    return read_start_ns(proc, key.tgid) == key.start_ns


def read_cwd(proc: Path, key: ProcessKey) -> str | None:
    """The working directory of a process; None if it is gone, was replaced, or may not be looked at."""
    try:
        cwd = os.readlink(f"{proc}/{key.tgid}/cwd")  # noqa: PTH115 # see _read
    except OSError:
        return None
    return cwd if is_same_process(proc, key) else None


def read_exe(proc: Path, tgid: int) -> tuple[str, os.stat_result] | None:
    """The path and the status of the file that a process runs now, both of the same file; None if there is none."""
    try:
        fd = os.open(f"{proc}/{tgid}/exe", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    # The descriptor pins the file: an exec between the two calls cannot pair the path of one with the inode of another.
    try:
        status = os.fstat(fd)
        path = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 # see _read
    except OSError:
        return None
    finally:
        os.close(fd)
    return (path.removesuffix(_DELETED) if status.st_nlink == 0 else path), status


class ExePaths:
    """Finds the path of a FileId, and remembers it: bounded, the oldest entry goes first."""

    def __init__(self, proc: Path, capacity: int = 8192) -> None:
        """`proc` is the mount point of procfs."""
        self._proc = proc
        self._capacity = capacity
        self._paths: dict[FileId, str] = {}
        self.learned = 0  # how many paths were learned so far

    def __len__(self) -> int:
        return len(self._paths)

    def learn(self, file: FileId, path: str) -> None:
        """Remember a path that is known to be this file's."""
        if len(self._paths) >= self._capacity and file not in self._paths:
            del self._paths[next(iter(self._paths))]
        self._paths[file] = path
        self.learned += 1

    def known(self, file: FileId | None) -> str | None:
        """What was learned; None if nothing."""
        return self._paths.get(file) if file is not None else None

    def of(self, file: FileId | None, key: ProcessKey, filename: str = "", parent_tgid: int = 0) -> str:
        """The path of the program that `key` ran when it was this file.

        Asks, in order: what was learned, the process if it still runs this file, `filename` if it is this file (a
        relative one from the parent's working directory, for a child that has ended), and else takes `filename` as it
        is, or "".
        """
        if file is None:
            return filename
        path = self._paths.get(file)
        if path is not None:
            return path
        if (found := read_exe(self._proc, key.tgid)) is not None:
            path, status = found
            if same_file(file, status):
                self.learn(file, path)
                return path
            # Some file systems number their inodes differently for stat(2) than inside; they are known by the device.
            if file_id_of(status).dev != file.dev and is_same_process(self._proc, key):
                return path
        if (path := self._by_filename(file, filename, parent_tgid)) is not None:
            self.learn(file, path)
            return path
        return filename

    def _by_filename(self, file: FileId, filename: str, parent_tgid: int) -> str | None:
        if not filename or "\0" in filename:
            return None
        start = filename if filename.startswith("/") else f"{self._proc}/{parent_tgid}/cwd/{filename}"
        try:
            status = os.stat(start)  # noqa: PTH116 # see _read
            if not stat.S_ISREG(status.st_mode) or not same_file(file, status):
                return None
            return os.path.realpath(start)
        except OSError:
            return None
