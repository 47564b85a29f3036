"""systemd as the tests ask it, by busctl and systemctl: an instrument that shares no code with the agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vm.inside.cgroups import ROOT
from vm.inside.waiting import output_of

NOT_SET = 2**64 - 1
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
# Of the properties used here, by name: their D-Bus types.
_TYPES = {
    "CPUQuotaPerSecUSec": "t",
    "CPUWeight": "t",
    "CollectMode": "s",
    "IOWeight": "t",
    "OOMPolicy": "s",
    "Slice": "s",
}


def set_properties(unit: str, **properties: int) -> None:
    """Change a unit until the next reboot, as the agent's unit route does."""
    output_of("busctl", "call", *_MANAGER, "SetUnitProperties", "sba(sv)", unit, "true", *_marshalled(properties))


def start_scope(name: str, pids: list[int], **properties: int | str) -> None:
    """Move processes into a new scope, as the agent's scope route does."""
    listed = ["PIDs", "au", str(len(pids)), *map(str, pids)]
    count, *rest = _marshalled(properties)
    arguments = [name, "fail", str(int(count) + 1), *listed, *rest, "0"]
    output_of("busctl", "call", *_MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", *arguments)


def property_of(unit: str, name: str) -> str:
    """One property, as systemctl prints it."""
    return output_of("systemctl", "show", "-P", name, unit)


def cgroup_dir_of(unit: str) -> Path:
    """Where the unit's cgroup is."""
    return ROOT / property_of(unit, "ControlGroup").lstrip("/")


def drop_ins_of(unit: str) -> list[Path]:
    """The drop-in files below /run that systemd has loaded for the unit."""
    return [Path(path) for path in property_of(unit, "DropInPaths").split() if path.startswith("/run/")]


def sessions_of(user: str) -> list[str]:
    """The login sessions that logind knows of a user, by their ids."""
    sessions: list[dict[str, Any]] = json.loads(output_of("loginctl", "list-sessions", "-o", "json") or "[]")
    return [str(session["session"]) for session in sessions if session["user"] == user]


def _marshalled(properties: dict[str, int] | dict[str, int | str]) -> list[str]:
    words = [str(len(properties))]
    for name, value in properties.items():
        words += [name, _TYPES[name], str(value)]
    return words
