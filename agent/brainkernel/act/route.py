"""By which route a process may be limited, or why by none: a pure function of where it lives (DESIGN.md section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.act.cgroupfs import MAX_MEMBERS, CgroupVersion, same_value
from brainkernel.act.procfs import family_of
from brainkernel.act.systemd import NOT_SET
from brainkernel.escape import escaped
from brainkernel.model import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from brainkernel.act.place import Place
    from brainkernel.act.procfs import Member
    from brainkernel.model import ProcessKey

SHELLS = frozenset({"ash", "bash", "busybox", "csh", "dash", "elvish", "fish", "ksh", "ksh93", "mksh", "nu", "sh", "tcsh", "yash", "zsh"})
# Of these, one file runs many programs: two processes are the same program only with the same command line.
INTERPRETERS = re.compile(r"(?:java|node|perl|php|pypy3?|python|ruby|guile|lua|mono|dotnet|tclsh|Rscript|R)[\d.]*")
_INTERACTIVE = frozenset({"-i", "--rcfile", "--init-file"})
_COMMAND = re.compile(r"-[a-z]*c[a-z]*")  # -c, -ec, -lc: a command line follows
SCOPE_PREFIX = "brainkernel-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The route for one process, and why. For `REFUSE`, `rule` is the name of what said no."""

    route: Route
    reason: str
    rule: str = ""
    move: tuple[Member, ...] = ()  # for `SCOPE`: who moves, the target first


def route_of(place: Place, *, containers: bool = False) -> Plan:
    """Choose the lightest route that the contracts allow. `containers`: the operator lets us limit container scopes."""
    refusal = _host_refuses(place) or _unit_refuses(place, containers=containers)
    if refusal is not None:
        return refusal
    unit = place.unit
    assert unit is not None  # noqa: S101 # _unit_refuses said no otherwise
    family = family_of(place.target.key, place.members)
    strangers = _strangers(place, family)
    if not strangers:
        return _holds_others_work(place) or Plan(route=Route.UNIT, reason=f"{unit.name} is the program's own")
    if unit.kind == "service":
        reason = f"{unit.name} also runs {_names(strangers)}; limiting single tasks of a service is not there yet"
        return _refuse("shared_service", reason)
    return _cannot_move(place, family) or Plan(
        route=Route.SCOPE, reason=f"{unit.name} is shared with {_names(strangers)}: a scope of its own in {unit.slice}", move=family
    )


def _host_refuses(place: Place) -> Plan | None:
    if place.target.kernel_thread:
        return _refuse("kernel_thread", "it is a thread of the kernel")
    if place.version is not CgroupVersion.V2:
        return _refuse("cgroup_version", f"the host's cgroups are {place.version}; limits need the unified hierarchy (cgroup v2)")
    if not place.systemd:
        return _refuse("no_systemd", "the host is not run by systemd; a subtree of our own is not there yet")
    if place.sched_ext:
        return _refuse("sched_ext", f"the scheduler {place.sched_ext} is loaded (sched_ext): it need not heed CPU limits")
    return None


def _unit_refuses(place: Place, *, containers: bool) -> Plan | None:
    unit = place.unit
    checks: Iterable[tuple[bool, str, Callable[[], str]]] = (
        (not place.cgroup, "no_cgroup", lambda: "its cgroup is removed or outside of what we see"),
        (place.ours, "ourselves", lambda: "it lives in the agent's own cgroup"),
        (_leaves_container_alone(place, containers=containers), "container", lambda: f"a container runtime owns it ({place.container})"),
        (bool(place.user_manager_error), "user_manager", lambda: f"the manager of user {place.user_uid}: {place.user_manager_error}"),
        (unit is None or unit.kind == "slice", "no_unit", lambda: f"no systemd unit owns {place.cgroup}"),
    )
    for holds, rule, reason in checks:
        if holds:
            return _refuse(rule, reason())
    assert unit is not None  # noqa: S101 # checked above
    checks = (
        (unit.kind not in ("service", "scope"), "unit_type", lambda: f"{unit.name} is neither a service nor a scope"),
        (_runs_a_manager(unit.name), "service_manager", lambda: f"{unit.name} is systemd itself"),
        (place.cgroup_type not in ("domain", "domain threaded"), "threaded", lambda: f"its cgroup is {place.cgroup_type}"),
        (not place.cpu_controller, "cpu_controller", lambda: f"the manager of {unit.name} has no cpu controller to hand out"),
        (len(place.members) >= MAX_MEMBERS, "too_many", lambda: f"{unit.name} has {MAX_MEMBERS} processes or more"),
        (not unit.active, "inactive", lambda: f"{unit.name} is ending"),
        (_decided_by_person(place), "administrator_limit", lambda: f"{unit.name} has a CPU limit that was set by somebody else"),
    )
    return next((_refuse(rule, reason()) for holds, rule, reason in checks if holds), None)


def _leaves_container_alone(place: Place, *, containers: bool) -> bool:
    # kubelet and libvirt write these cgroups themselves (systemd issue 17938): no opt-in changes that.
    return bool(place.container) and (not containers or place.container in ("kubepods", "machine.slice"))


def _runs_a_manager(unit: str) -> bool:
    return unit == "init.scope" or unit.startswith("user@")


def _decided_by_person(place: Place) -> bool:
    # By systemd's configuration, or written into the cgroup past it, as container runtimes do.
    configured = place.unit is not None and any(value != NOT_SET for value in place.unit.cpu.values())
    return configured or any(not same_value(name, value, None) for name, value in place.cpu_files.items())


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


def _cannot_move(place: Place, family: tuple[Member, ...]) -> Plan | None:
    # What moves leaves its login session for good, so nothing may hang on it.
    for member in family:
        if member.leads_terminal:
            return _refuse("session_leader", f"{_shown(member)} leads the session of a terminal")
        if _is_interactive(member):
            return _refuse("shell_with_terminal", f"{_shown(member)} is a shell at a terminal")
    unit = place.unit
    assert unit is not None  # noqa: S101 # the caller has it
    if unit.bound:
        return _refuse("sandboxed", f"{unit.name} confines its processes ({', '.join(unit.bound)}), which a move would undo")
    if _in_subgroup(place):
        return _refuse("delegated", f"{unit.name} has cgroups of its own below it, which its program arranged")
    return _protected(family)


def _in_subgroup(place: Place) -> bool:
    return place.unit is not None and place.cgroup.rstrip("/") != place.unit.control_group.rstrip("/")


def _shown(member: Member) -> str:
    return escaped(member.comm)  # a program names itself, and the reason is shown to people


def _names(members: tuple[Member, ...], most: int = 3) -> str:
    names = list(dict.fromkeys(_shown(member) for member in members))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _refuse(rule: str, reason: str) -> Plan:
    return Plan(route=Route.REFUSE, rule=rule, reason=reason)


def scope_name_of(key: ProcessKey) -> str:
    """The scope for one process: unique, since no two processes share pid and start."""
    return f"{SCOPE_PREFIX}{key.tgid}-{key.start_ns}.scope"
