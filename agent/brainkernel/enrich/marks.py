"""What a program's path alone gives away, for processes whose start was not seen."""

from __future__ import annotations

from brainkernel.model import Mark

_WORLD_WRITABLE = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/lock/", "/dev/mqueue/", "/var/crash/")  # noqa: S108 # judged, not used
DELETED_SUFFIX = " (deleted)"  # d_path() appends it, fs/d_path.c


def marks_of_path(exe: str) -> frozenset[Mark]:
    """The marks that the path of a program file shows, whichever loader saw it."""
    marks = set()
    if exe.startswith(("/memfd:", "memfd:")):
        marks.add(Mark.MEMFD)
    elif exe.endswith(DELETED_SUFFIX):
        marks.add(Mark.DELETED)
    if exe.startswith(_WORLD_WRITABLE):
        marks.add(Mark.WORLD_WRITABLE_DIR)
    if any(part.startswith(".") and part not in (".", "..") for part in exe.split("/")[:-1]):
        marks.add(Mark.HIDDEN_DIR)
    return frozenset(marks)
