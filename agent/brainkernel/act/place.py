"""Where a process lives: the facts that decide by which route it may be limited. Read here, judged in `choice`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from brainkernel.act import cgroupfs
from brainkernel.act.cgroupfs import CgroupVersion
from brainkernel.act.procfs import Member, read_member, read_members, text_of
from brainkernel.errors import ActError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from brainkernel.act.host import Host
    from brainkernel.act.systemd import Managers, UnitState
    from brainkernel.model import ProcessKey

    # The reason why a process must not be slowed, "" if there is none: exe, and the unit it is in.
    Protection = Callable[[str, str], str]

_USER_MANAGER = re.compile(r"user@(\d+)\.service")
_CONTAINER = re.compile(
    r"(kubepods|machine\.slice|/lxc(?:\.payload)?[./]|/docker/|(?:docker|libpod|crio|cri-containerd|nerdctl|buildkit)-[0-9a-f]{12,}|/systemd-nspawn)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one process lives, as of one look."""

    target: Member
    version: CgroupVersion
    systemd: bool = True  # sd_booted(3)
    cgroup: str = ""  # below the cgroup root
    cgroup_id: int = 0  # inode of that directory
    unit_cgroup_id: int = 0  # inode of the unit's cgroup, which the process may be below of
    cgroup_type: str = "domain"  # cgroup.type; the root has none
    confines: tuple[str, ...] = ()  # by what the cgroup holds its processes in, beside CPU
    cpu_controller: bool = True  # the unit's manager (where systemd does not run: the root) may hand it out
    unit: UnitState | None = None
    user_uid: int | None = None  # whose manager the unit belongs to; None: the system's
    user_manager_error: str = ""  # why a user's manager could not be asked
    limit_files: Mapping[str, str] = field(default_factory=dict)  # of the unit's cgroup, or its own where no unit is
    members: tuple[Member, ...] = ()  # of the unit's whole cgroup, the target among them; of its own where no unit is
    container: str = ""  # what in the path says that a container runtime owns the cgroup
    sched_ext: str = ""  # the BPF scheduler that is loaded
    ours: bool = False  # the agent's own cgroup


def read_place(host: Host, managers: Managers, key: ProcessKey, protection: Protection) -> Place | None:
    """Look at one process; None if it is gone. Raises ActError when the system manager cannot be asked.

    The caller holds the process (`lock_process`), so that the cgroup is that of this process.
    """
    target = read_member(host.proc, key.tgid)
    proc_cgroup = text_of(host.proc / str(key.tgid) / "cgroup")
    if target is None or target.key != key or proc_cgroup is None:
        return None
    version = cgroupfs.version_of(text_of(host.proc / "self/mountinfo") or "", host.cgroup)
    place = Place(target=target, version=version, sched_ext=_sched_ext_of(host), systemd=(host.run / "systemd/system").is_dir())
    path = cgroupfs.path_of(proc_cgroup)
    if version is not CgroupVersion.V2 or path is None:
        return place
    match = _CONTAINER.search(path)
    ours = cgroupfs.path_of(text_of(host.proc / "self/cgroup") or "")
    place = replace(place, cgroup=path, container=match[1].strip("/") if match else "", ours=path == ours != "/")
    found = _with_cgroup(host, place)
    if found is None or not found.systemd:
        return found and _with_neighbours(host, replace(found, cpu_controller=_has_cpu(host, "")), protection)
    return _with_members(host, _with_unit(host, managers, found), protection)


def _with_cgroup(host: Host, place: Place) -> Place | None:
    with cgroupfs.open_cgroup(host.cgroup, place.cgroup) as cgroup:
        if cgroup is None:
            return None
        return replace(
            place,
            cgroup_id=cgroup.id,
            cgroup_type=cgroup.read("cgroup.type") or "domain",  # the root has none
            confines=cgroup.confines() if place.cgroup != "/" else (),
            limit_files=cgroup.limits(),
        )


def _with_unit(host: Host, managers: Managers, place: Place) -> Place:
    unit = managers.of(None).unit_of_cgroup(place.cgroup)
    user = _USER_MANAGER.fullmatch(unit.name) if unit else None
    if user is None or unit is None:
        return replace(place, unit=unit, cpu_controller=_has_cpu(host, ""))
    uid = int(user[1])
    try:
        found = managers.of(uid).unit_of_cgroup(place.cgroup)
    except ActError as error:
        return replace(place, unit=unit, user_uid=uid, user_manager_error=str(error))
    cpu = _has_cpu(host, unit.control_group)
    return replace(place, unit=found or unit, user_uid=uid if found else None, cpu_controller=cpu)


def _with_members(host: Host, place: Place, protection: Protection) -> Place | None:
    unit = place.unit
    if unit is None or unit.kind == "slice":
        return _with_neighbours(host, place, protection)
    # A user's manager may answer anything: only a unit that holds the target's cgroup is its unit.
    if not f"{place.cgroup}/".startswith(f"{unit.control_group.rstrip('/')}/"):
        msg = f"systemd says {unit.name} is at {unit.control_group[:80]!r}, but the process is at {place.cgroup!r}"
        raise ActError(msg)
    found = cgroupfs.read_limits(host.cgroup, unit.control_group)
    if found is None:
        return None
    place = replace(place, unit_cgroup_id=found[0], limit_files=found[1])
    return _marked(host, place, cgroupfs.pids_below(host.cgroup, unit.control_group), protection)


def _with_neighbours(host: Host, place: Place, protection: Protection) -> Place:
    # No unit to look at as a whole: who shares the cgroup itself.
    procs = text_of(host.cgroup / place.cgroup.lstrip("/") / "cgroup.procs") if place.cgroup_type != "threaded" else None
    return _marked(host, place, [int(pid) for pid in (procs or str(place.target.key.tgid)).split()], protection)


def _marked(host: Host, place: Place, pids: Iterable[int], protection: Protection) -> Place:
    unit = place.unit.name if place.unit else ""
    members = read_members(host.proc, pids)
    return replace(place, members=tuple(replace(member, protected=protection(member.exe, unit)) for member in members))


def _has_cpu(host: Host, manager_cgroup: str) -> bool:
    controllers = text_of(host.cgroup / manager_cgroup.lstrip("/") / "cgroup.controllers")
    return "cpu" in (controllers or "").split()


def _sched_ext_of(host: Host) -> str:
    if (text_of(host.sys / "kernel/sched_ext/state") or "").strip() != "enabled":
        return ""
    return (text_of(host.sys / "kernel/sched_ext/root/ops") or "").strip() or "unnamed"
