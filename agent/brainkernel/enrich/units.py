"""The place of a process among systemd's units and containers: from its cgroup path and from unit files.

No D-Bus: on the event path an answer that takes milliseconds, or hangs, would stop the loop. The price: settings
made only at run time (`systemctl set-property`) and a unit's main pid are not known here.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from brainkernel.model import Unit

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.clock import Clock

# In systemd's order of precedence, systemd.unit(5), "Unit File Load Path"; transient first, as it has no other file.
_SYSTEM_DIRS = (
    "run/systemd/transient",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
_USER_DIRS = ("etc/systemd/user", "run/systemd/user", "usr/local/lib/systemd/user", "usr/lib/systemd/user")
_UNIT_FILE_BYTES = 16_384
_DESCRIPTION_CHARS = 256
_UNIT_SUFFIXES = (".service", ".scope", ".mount", ".swap", ".socket")
_TRIGGER_SUFFIXES = (".timer", ".socket", ".path")
_CACHE_ENTRIES = 512
_CACHE_NS = 300 * 1_000_000_000  # a changed Description is not worth a stat per suspect

_HEX_ID = re.compile(r"(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$")
_CONTAINER_NAME = re.compile(r"^(?:lxc\.payload[./]|lxc\.|machine-|systemd-nspawn@)(?P<name>.+?)(?:\.scope|\.service)?$")
_CONTAINER_ID_CHARS = 12  # as `docker ps` shows it
_USER_MANAGER = re.compile(r"user@(\d{1,10})\.service")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class CgroupPlace:
    """What a cgroup path says by itself."""

    unit: str = ""
    slice: str = ""
    user_uid: int | None = None
    container: str = ""


def place_of(cgroup: str) -> CgroupPlace:
    """Read a cgroup path as systemd does (cg_path_get_unit in src/basic/cgroup-util.c), and find a container in it."""
    parts = [p.removeprefix("_") for p in cgroup.split("/") if p]  # cg_escape() puts a "_" before reserved names
    container = container_of(parts)
    unit, slice_name, rest = _first_unit(parts)
    manager = _USER_MANAGER.fullmatch(unit)
    if manager is None:
        return CgroupPlace(unit, slice_name, None, container)
    inner, inner_slice, _ = _first_unit(rest)
    if not inner:
        return CgroupPlace(unit, slice_name, None, container)
    return CgroupPlace(inner, inner_slice, int(manager[1]), container)


def _first_unit(parts: list[str]) -> tuple[str, str, list[str]]:
    slice_name = ""
    for index, part in enumerate(parts):
        if part.endswith(".slice"):
            slice_name = part
        elif part.endswith(_UNIT_SUFFIXES):
            return part, slice_name, parts[index + 1 :]
        else:
            break
    return "", slice_name, []


def container_of(parts: list[str]) -> str:
    """The container a cgroup path lies in: short id (docker, podman, containerd, cri-o, kubepods) or name (lxc, nspawn)."""
    for index, part in enumerate(parts):
        if match := _HEX_ID.search(part):
            return match[1][:_CONTAINER_ID_CHARS]
        if match := _CONTAINER_NAME.match(part):
            return unescaped(match["name"])
        if part == "lxc" and index + 1 < len(parts):
            return parts[index + 1]
    return ""


def unescaped(name: str) -> str:
    r"""Undo systemd-escape(1): "\x2d" is "-"; a "-" stays as it is, since it may stand for "/" or for itself."""
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)), name)


class UnitFiles:
    """Descriptions and triggers of units, from unit files below `root`; bounded, and re-read after five minutes."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._units: OrderedDict[tuple[str, int | None], tuple[int, Unit]] = OrderedDict()
        self._triggers: tuple[int, dict[str, tuple[str, ...]]] | None = None

    def unit_at(self, place: CgroupPlace) -> Unit | None:
        """The unit of a place with what its files say; None for a place outside all units."""
        if not place.unit:
            return None
        now = self._clock.boot_ns()
        cached = self._units.get((place.unit, place.user_uid))
        if cached is None or now - cached[0] > _CACHE_NS:
            cached = (now, self._read(place))
            self._units[place.unit, place.user_uid] = cached
            if len(self._units) > _CACHE_ENTRIES:
                self._units.popitem(last=False)
        return replace(cached[1], slice=place.slice)

    def _read(self, place: CgroupPlace) -> Unit:
        dirs = self._dirs(place.user_uid)
        triggers = self._triggers_of(place.unit) if place.user_uid is None else ()
        return Unit(name=place.unit, description=_description(dirs, place.unit), user_uid=place.user_uid, triggered_by=triggers)

    def _dirs(self, user_uid: int | None) -> list[str]:
        if user_uid is None:
            return [str(self._root / d) for d in _SYSTEM_DIRS]
        # Not ~/.config/systemd/user: a home may be a network mount, which would hang the loop.
        return [str(self._root / f"run/user/{user_uid}/systemd" / d) for d in ("transient", "generator")] + [
            str(self._root / d) for d in _USER_DIRS
        ]

    def _triggers_of(self, unit: str) -> tuple[str, ...]:
        now = self._clock.boot_ns()
        if self._triggers is None or now - self._triggers[0] > _CACHE_NS:
            self._triggers = (now, _read_triggers(self._dirs(None)))
        found = self._triggers[1]
        return found.get(unit, ()) or found.get(_template(unit), ())


def _template(unit: str) -> str:
    stem, at, rest = unit.partition("@")
    return f"{stem}@.{rest.rpartition('.')[2]}" if at else ""


def _read_triggers(dirs: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for directory in dirs:
        try:
            names = sorted(os.listdir(directory))  # noqa: PTH208 # names are all we need
        except OSError:
            continue
        for name in names:
            if name.endswith(_TRIGGER_SUFFIXES) and name not in seen:
                seen.add(name)
                text = _read_unit_file(f"{directory}/{name}") or ""
                unit = _setting(text, "Unit") or _setting(text, "Service") or f"{PurePosixPath(name).stem}.service"
                found[unit] = (*found.get(unit, ()), name)
    return found


def _description(dirs: list[str], unit: str) -> str:
    for name in filter(None, (unit, _template(unit))):
        for directory in dirs:
            text = _read_unit_file(f"{directory}/{name}", follow="/run/user/" not in directory)
            if text is not None:
                return _expanded(_setting(text, "Description"), unit)[:_DESCRIPTION_CHARS]
    return ""


def _expanded(text: str, unit: str) -> str:
    stem = unit.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    for specifier, value in (("%I", unescaped(instance.replace("-", "/"))), ("%i", instance), ("%p", prefix), ("%N", stem), ("%n", unit)):
        text = text.replace(specifier, value)
    return text.replace("%%", "%")


def _setting(text: str, key: str) -> str:
    # The last assignment wins (systemd.syntax(7)); these settings occur once per file.
    value = ""
    for line in text.splitlines():
        name, equals, rest = line.partition("=")
        if equals and name.strip() == key:
            value = rest.strip()
    return value


def _read_unit_file(path: str, *, follow: bool = True) -> str | None:
    # A FIFO must not hang us, and a link in a directory that a user owns must not make root open a device
    # (opening /dev/watchdog starts it).
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags)
    except (OSError, ValueError):  # ValueError: no file can have this name
        return None
    try:
        return os.read(fd, _UNIT_FILE_BYTES).decode(errors="replace")
    except OSError:  # a directory
        return None
    finally:
        os.close(fd)
