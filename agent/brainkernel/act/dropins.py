"""The drop-in files that systemd writes for `SetUnitProperties`: found, understood, and removed when they are ours.

systemd never removes them itself. Reset, they hold an empty value (`CPUWeight=`), which hides what an administrator
puts into the unit's own file later: a lasting effect of ours, so they go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.act.bus import as_user
from brainkernel.act.systemd import NOT_SET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

FILE_OF = {
    "CPUWeight": "50-CPUWeight.conf",
    "CPUQuotaPerSecUSec": "50-CPUQuota.conf",
    "IOWeight": "50-IOWeight.conf",
    "MemoryHigh": "50-MemoryHigh.conf",
}
_US_PER_PERCENT = 10_000
_EMPTY = ("", "infinity")
_PARSERS: dict[str, Callable[[str], int]] = {
    "CPUWeight": lambda value: 0 if value == "idle" else int(value),
    "CPUQuota": lambda value: round(float(value.removesuffix("%")) * _US_PER_PERCENT),
    "IOWeight": int,
    "MemoryHigh": int,
}
_MAX_BYTES = 4096


def property_of(run: Path, user_uid: int | None, path: str) -> str | None:
    """Which property a file was written for; None if it is no run-time drop-in of a property that we set."""
    directory = run / (f"user/{user_uid}/systemd" if user_uid is not None else "systemd")
    if not path.startswith(f"{directory}/") or ".." in path.split("/"):
        return None
    name = path.rpartition("/")[2]
    return next((prop for prop, file in FILE_OF.items() if file == name), None)


def read_dropin(path: Path, user_uid: int | None) -> str | None:
    """The text of a drop-in; None if it is gone."""
    with as_user(user_uid):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                return file.read(_MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None


def value_of(text: str) -> tuple[str, int] | None:
    """The property and D-Bus value that a drop-in sets; None if it is not one plain setting of ours."""
    lines = [line.strip() for line in text.splitlines()]
    settings = [line for line in lines if line and not line.startswith(("#", ";", "["))]
    if len(settings) != 1:
        return None
    key, _, value = settings[0].partition("=")
    if (parse := _PARSERS.get(key)) is None:
        return None
    try:
        return ("CPUQuotaPerSecUSec" if key == "CPUQuota" else key), parse(value) if value not in _EMPTY else NOT_SET
    except ValueError:
        return None


def remove_dropin(path: Path, user_uid: int | None, ours: Iterable[tuple[str, int]]) -> bool:
    """Remove a drop-in if it sets one of `ours`, and its directory if that is empty then. Whether it was removed."""
    text = read_dropin(path, user_uid)
    if text is None or value_of(text) not in tuple(ours):
        return False
    with as_user(user_uid):
        path.unlink(missing_ok=True)
        try:
            path.parent.rmdir()
        except OSError:
            return True  # other drop-ins live there
    return True
