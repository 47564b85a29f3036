"""What is odd about how a program was started, from its path and arguments alone. Pure."""

from __future__ import annotations

import functools
from pathlib import PurePosixPath

from brainkernel.model import Mark

# Where anybody may put a file. The sticky bit stops others from replacing it, not from adding theirs.
WORLD_WRITABLE_DIRS = ("/tmp/", "/var/tmp/", "/dev/shm/", "/dev/mqueue/", "/run/lock/", "/var/lock/", "/var/crash/")  # noqa: S108

_NONE: frozenset[Mark] = frozenset()


@functools.lru_cache(maxsize=4096)
def path_marks_of(exe: str) -> frozenset[Mark]:
    """The marks that the path alone earns."""
    marks = set()
    if exe.startswith(WORLD_WRITABLE_DIRS):
        marks.add(Mark.WORLD_WRITABLE_DIR)
    # "." and ".." are in paths that could not be resolved, and hide nothing.
    if any(part.startswith(".") and part.strip(".") for part in PurePosixPath(exe).parts[:-1]):
        marks.add(Mark.HIDDEN_DIR)
    return frozenset(marks) or _NONE


def argv0_mismatch(argv0: str, exe: str, filename: str) -> bool:
    """Whether argv[0] names neither the file that runs nor the name it was started by.

    The leading dash of a login shell is custom (bash(1), INVOCATION), and a symlink such as sh gives argv[0] its own
    name, which `filename` has too.
    """
    name = argv0.rpartition("/")[2].removeprefix("-")
    return name not in (exe.rpartition("/")[2], filename.rpartition("/")[2])


def marks_of(
    *,
    exe: str,
    filename: str,
    argv: tuple[str, ...],
    unlinked: bool,
    memfd: bool,
    script: bool,
    cut: bool,
    setuid: bool,
    upper: bool = False,
) -> frozenset[Mark]:
    """All marks of one start. `script`: argv[0] is then what the #! line says, which tells nothing."""
    marks = path_marks_of(exe) if exe else _NONE
    argv0 = argv[0] if argv else ""
    mismatch = bool(exe) and not script and argv0 != filename and argv0_mismatch(argv0, exe, filename)
    if not (unlinked or memfd or cut or setuid or mismatch or upper):
        return marks
    found = set(marks)
    for mark, true in (
        (Mark.DELETED, unlinked and not memfd),
        (Mark.MEMFD, memfd),
        (Mark.SETUID, setuid),
        (Mark.ARGV0_MISMATCH, mismatch),
        (Mark.ARGV_TRUNCATED, cut),
        (Mark.OVERLAY_UPPER, upper),
    ):
        if true:
            found.add(mark)
    return frozenset(found)
