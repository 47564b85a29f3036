"""By which route a process may be limited, or why by none: a pure function of where it lives (DESIGN.md section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.act.cgroupfs import MAX_MEMBERS, CgroupVersion, same_value
from brainkernel.act.procfs import family_of
from brainkernel.act.systemd import DECISIVE_PROPERTIES, NOT_SET
from brainkernel.escape import escaped
from brainkernel.model import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from brainkernel.act.place import Place
    from brainkernel.act.procfs import Member
    from brainkernel.act.systemd import UnitState

SHELLS = frozenset({"ash", "bash", "busybox", "csh", "dash", "elvish", "fish", "ksh", "ksh93", "mksh", "nu", "sh", "tcsh", "yash", "zsh"})
# Of these, one file runs many programs: two processes are the same program only with the same command line.
INTERPRETERS = re.compile(r"(?:java|node|perl|php|pypy3?|python|ruby|guile|lua|mono|dotnet|tclsh|Rscript|R)[\d.]*")
_INTERACTIVE = frozenset({"-i", "--rcfile", "--init-file"})
_COMMAND = re.compile(r"-[a-z]*c[a-z]*")  # -c, -ec, -lc: a command line follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The route for one process, and why. For `REFUSE`, `rule` is the name of what said no."""

    route: Route
    reason: str
    rule: str = ""
    move: tuple[Member, ...] = ()  # who is limited, the target first; empty for `UNIT`: all of it
    wrappers: tuple[Member, ...] = ()  # for `TASK`: shells above the target that only wait for it


def route_of(place: Place, *, containers: bool = False) -> Plan:
    """Choose the lightest route that the contracts allow. `containers`: the operator lets us limit container scopes."""
    refusal = _host_refuses(place) or _place_refuses(place, containers=containers)
    if refusal is not None:
        return refusal
    family = family_of(place.target.key, place.members)
    if not place.systemd:
        return _cannot_split(family) or _without_systemd(place, family)
    if (why := _why_no_unit(place)) is not None:
        return _cannot_split(family) or _single_tasks(place, family, why)
    unit = place.unit
    assert unit is not None  # noqa: S101 # _why_no_unit named it otherwise
    refusal = _unit_refuses(unit)
    if refusal is not None:
        return refusal
    strangers = _strangers(place, family)
    if not strangers:
        return _holds_others_work(place) or Plan(route=Route.UNIT, reason=f"{unit.name} is the program's own")
    return _cannot_split(family) or _shared(place, unit, family, strangers)


def _shared(place: Place, unit: UnitState, family: tuple[Member, ...], strangers: tuple[Member, ...]) -> Plan:
    shared = f"{unit.name} is shared with {_names(strangers)}"
    if unit.kind == "service":
        return _single_tasks(place, family, shared)
    if unit.bound:
        return _single_tasks(place, family, f"{shared} and confines them ({', '.join(unit.bound)}), which a move would undo")
    if place.cgroup.rstrip("/") != unit.control_group.rstrip("/"):
        return _single_tasks(place, family, f"{shared} and has cgroups of its own below it, which its program arranged")
    return Plan(route=Route.SCOPE, reason=f"{shared}: a scope of its own in {unit.slice}", move=family)


def _without_systemd(place: Place, family: tuple[Member, ...]) -> Plan:
    if not place.cpu_controller:
        return _single_tasks(place, family, "the host has no cpu controller to hand out")
    if place.cgroup_type != "domain":
        return _single_tasks(place, family, f"its cgroup is {place.cgroup_type}")
    if place.confines:
        return _single_tasks(place, family, f"its cgroup confines it ({', '.join(place.confines)}), which a move would undo")
    return Plan(route=Route.SUBTREE, reason="systemd does not run this host: a cgroup of our own", move=family)


def _single_tasks(place: Place, family: tuple[Member, ...], why: str) -> Plan:
    wrappers = tuple(member for member in _ancestors(place) if _is_shell(member) and not _is_interactive(member))
    return Plan(route=Route.TASK, reason=f"{why}: its tasks one by one", move=family, wrappers=wrappers)


def _host_refuses(place: Place) -> Plan | None:
    if place.target.kernel_thread:
        return _refuse("kernel_thread", "it is a thread of the kernel")
    if place.version is not CgroupVersion.V2:
        return _refuse("cgroup_version", f"the host's cgroups are {place.version}; limits need the unified hierarchy (cgroup v2)")
    if place.sched_ext:
        return _refuse("sched_ext", f"the scheduler {place.sched_ext} is loaded (sched_ext): it need not heed CPU limits")
    return None


def _place_refuses(place: Place, *, containers: bool) -> Plan | None:
    checks: Iterable[tuple[bool, str, Callable[[], str]]] = (
        (not place.cgroup, "no_cgroup", lambda: "its cgroup is removed or outside of what we see"),
        (place.ours, "ourselves", lambda: "it lives in the agent's own cgroup"),
        (_leaves_container_alone(place, containers=containers), "container", lambda: f"a container runtime owns it ({place.container})"),
        (len(place.members) >= MAX_MEMBERS, "too_many", lambda: f"it shares a unit with {MAX_MEMBERS} processes or more"),
        (_decided_by_person(place), "administrator_limit", lambda: f"{_where(place)} has a CPU or I/O limit that was set by somebody else"),
    )
    return next((_refuse(rule, reason()) for holds, rule, reason in checks if holds), None)


def _why_no_unit(place: Place) -> str | None:
    # Why no manager can limit this process for us.
    unit = place.unit
    if place.user_manager_error:
        return f"the manager of user {place.user_uid} does not help ({place.user_manager_error})"
    if unit is None or unit.kind == "slice":
        return f"no systemd unit owns {place.cgroup}"
    if place.cgroup_type not in ("domain", "domain threaded"):
        return f"its cgroup is {place.cgroup_type}"
    if not place.cpu_controller and unit.kind in ("service", "scope"):
        return f"the manager of {unit.name} has no cpu controller to hand out"
    return None


def _unit_refuses(unit: UnitState) -> Plan | None:
    if unit.kind not in ("service", "scope"):
        return _refuse("unit_type", f"{unit.name} is neither a service nor a scope")
    if _runs_a_manager(unit.name):
        return _refuse("service_manager", f"{unit.name} is systemd itself")
    return None if unit.active else _refuse("inactive", f"{unit.name} is ending")


def _where(place: Place) -> str:
    return place.unit.name if place.unit else place.cgroup


def _leaves_container_alone(place: Place, *, containers: bool) -> bool:
    # kubelet and libvirt write these cgroups themselves (systemd issue 17938): no opt-in changes that.
    return bool(place.container) and (not containers or place.container in ("kubepods", "machine.slice"))


def _runs_a_manager(unit: str) -> bool:
    return unit == "init.scope" or unit.startswith("user@")


def _decided_by_person(place: Place) -> bool:
    # By systemd's configuration, or written into the cgroup past it, as container runtimes do.
    limits = place.unit.limits if place.unit is not None else {}
    files = (name for name in place.limit_files if name != "memory.high")  # how much memory it gets is another matter
    return (
        any(limits.get(name, NOT_SET) != NOT_SET for name in DECISIVE_PROPERTIES)
        or any(not same_value(name, place.limit_files[name], None) for name in files)
        or not {"io.max", "cpuset.cpus"}.isdisjoint(place.confines)
    )


def _strangers(place: Place, family: tuple[Member, ...]) -> tuple[Member, ...]:
    # A verdict is about one program. A unit may be slowed only if it *is* that program: the target, what it
    # started, others of the same program (workers), and the shell that a unit's command line was wrapped in.
    wrappers = {member.key for member in _ancestors(place) if _is_shell(member) and not _is_interactive(member)}
    return tuple(
        member
        for member in place.members
        if member not in family and member.key not in wrappers and not _is_same_program(member, place.target)
    )


def _is_same_program(one: Member, other: Member) -> bool:
    if not one.exe or one.exe != other.exe or one.leads_terminal:
        return False
    runs_others = _is_shell(one) or INTERPRETERS.fullmatch(_name_of(one)) is not None
    return not runs_others or one.argv == other.argv


def _ancestors(place: Place) -> list[Member]:
    by_tgid = {member.key.tgid: member for member in place.members}
    chain: list[Member] = []
    parent = by_tgid.get(place.target.ppid)
    while parent is not None and parent not in chain:
        chain.append(parent)
        parent = by_tgid.get(parent.ppid)
    return chain


def _name_of(member: Member) -> str:
    return member.exe.removesuffix(" (deleted)").rpartition("/")[2]


def _is_shell(member: Member) -> bool:
    return _name_of(member) in SHELLS


def _holds_others_work(place: Place) -> Plan | None:
    for member in place.members:
        if _is_interactive(member) and member.key != place.target.key:
            return _refuse("shell_with_terminal", f"{_shown(member)} inside is a shell at a terminal: somebody works there")
    return _protected(place.members)


def _is_interactive(member: Member) -> bool:
    # A shell that somebody types into. Recipes of make and scripts have the terminal too, but run a command or a file.
    if not member.tty or not _is_shell(member):
        return False
    _, *arguments = member.argv.rstrip("\0").split("\0")
    if member.leads_terminal or any(argument in _INTERACTIVE for argument in arguments):
        return True
    return all(argument.startswith("-") and not _COMMAND.fullmatch(argument) for argument in arguments)


def _protected(members: Iterable[Member]) -> Plan | None:
    for member in members:
        if member.protected:
            return _refuse("protected_inside", f"{_shown(member)} is inside and protected: {member.protected}")
    return None


def _cannot_split(family: tuple[Member, ...]) -> Plan | None:
    # What is limited apart from its surroundings must not be what others hang on.
    for member in family:
        if member.leads_terminal:
            return _refuse("session_leader", f"{_shown(member)} leads the session of a terminal")
        if _is_interactive(member):
            return _refuse("shell_with_terminal", f"{_shown(member)} is a shell at a terminal")
    return _protected(family)


def _shown(member: Member) -> str:
    return escaped(member.comm)  # a program names itself, and the reason is shown to people


def _names(members: tuple[Member, ...], most: int = 3) -> str:
    names = list(dict.fromkeys(_shown(member) for member in members))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _refuse(rule: str, reason: str) -> Plan:
    return Plan(route=Route.REFUSE, rule=rule, reason=reason)
