"""The terminal and the login session of a process, from numbers and paths alone; and who sits at this host."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Documentation/admin-guide/devices.txt
_MAJOR_VT_AND_SERIAL = 4
_FIRST_SERIAL_MINOR = 64
_MAJOR_TTY_ALIASES = 5
_MAJORS_PTS = range(136, 144)
_PTS_PER_MAJOR = 256
_MINORS_5 = {0: "tty", 1: "console", 2: "ptmx"}
_SERIAL = {166: ("ttyACM", 0), 188: ("ttyUSB", 0), 204: ("ttyAMA", 64), 229: ("hvc", 0)}

_SEAT_USER = re.compile(r"^ACTIVE_UID=(\d{1,10})$", re.MULTILINE)
_SESSION_SCOPE = re.compile(r"session-([A-Za-z0-9]{1,32})\.scope")


def tty_name_of(device: int) -> str:
    """The name below /dev of a controlling terminal; "" for 0, "MAJOR:MINOR" for a driver not known here.

    `device` is in the encoding of stat(2) and of /proc/PID/stat.
    """
    if device <= 0:
        return ""
    major, minor = os.major(device), os.minor(device)
    if major in _MAJORS_PTS:
        # From 4.x on minors beyond 255 stay in major 136; before that the majors after it were used.
        return f"pts/{(major - _MAJORS_PTS.start) * _PTS_PER_MAJOR + minor}"
    if major == _MAJOR_VT_AND_SERIAL:
        return f"tty{minor}" if minor < _FIRST_SERIAL_MINOR else f"ttyS{minor - _FIRST_SERIAL_MINOR}"
    if major == _MAJOR_TTY_ALIASES and minor in _MINORS_5:
        return _MINORS_5[minor]
    if major in _SERIAL and minor >= _SERIAL[major][1]:
        name, first = _SERIAL[major]
        return f"{name}{minor - first}"
    return f"{major}:{minor}"


def read_seat_users(run_root: Path) -> frozenset[int]:
    """The users of the sessions that are in front at a seat now, greeters included; none where no logind runs.

    By the files that sd_seat_get_active(3) reads.
    """
    users = set()
    with suppress(OSError):
        for seat in (run_root / "systemd/seats").iterdir():
            with suppress(OSError):
                users |= {int(match[1]) for match in _SEAT_USER.finditer(seat.read_text())}
    return frozenset(users)


def session_of_cgroup(cgroup: str) -> str:
    """The logind session id in a cgroup path ("session-3.scope" -> "3"); "" if the path has none."""
    for part in reversed(cgroup.split("/")):
        if match := _SESSION_SCOPE.fullmatch(part):
            return match[1]
    return ""
