"""Every setting that a limit could change, so that before and after can be compared bit for bit."""

from __future__ import annotations

import os
from pathlib import Path

from vm.inside.processes import comm_of, scheduling

ROOT = Path("/sys/fs/cgroup")
# Every file of these controllers but those that count or measure.
_CONTROLLERS = ("cpu.", "cpuset.", "io.", "memory.", "pids.")
_MEASURES = frozenset(
    """
    stat pressure current peak events events.local numa_stat reclaim swap.current swap.events cpus.effective mems.effective
    """.split()
)
_CORE = ("cgroup.subtree_control", "cgroup.freeze", "cgroup.type", "cgroup.max.depth", "cgroup.max.descendants")

Values = dict[str, str]


def cgroup_values() -> Values:
    """Read the settings of all cgroups (`/path file`) and the scheduling of all threads, without any counter."""
    values: Values = {}
    for directory, _, _ in os.walk(ROOT):
        values.update(settings_of(Path(directory)))
    return values | scheduling()


def settings_of(directory: Path) -> Values:
    """Read the settings of one cgroup; none when it is gone."""
    values: Values = {}
    name = "/" if directory == ROOT else f"/{directory.relative_to(ROOT)}"
    try:
        files = list(directory.iterdir())
    except FileNotFoundError:
        return values
    for file in files:
        if file.name in _CORE or (file.name.startswith(_CONTROLLERS) and file.name.partition(".")[2] not in _MEASURES):
            try:
                values[f"{name} {file.name}"] = file.read_text().strip()
            except OSError:  # write-only, or gone with its cgroup
                continue
    return values


def changes(before: Values, after: Values) -> dict[str, tuple[str | None, str | None]]:
    """What differs, as (before, after); None: there was no such file.

    A whole cgroup or thread that exists on one side only is no change of a setting: services and
    processes come and go. A file that appears or vanishes in a cgroup that stays is one.
    """
    lasting = {_owner(key) for key in before} & {_owner(key) for key in after}
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if _owner(key) in lasting and before.get(key) != after.get(key)
    }


def told(differs: dict[str, tuple[str | None, str | None]]) -> str:
    """What differs, a line each, for the message of a failed test; a thread with its name."""
    return "\n".join(f"{key}{_name_of(key)}: {was!r} before, {now!r} now" for key, (was, now) in differs.items())


def _name_of(key: str) -> str:
    return f" ({comm_of(int(key.split()[1]))})" if key.startswith("thread ") else ""


def _owner(key: str) -> str:
    return key if key.startswith("thread ") else key.partition(" ")[0]
