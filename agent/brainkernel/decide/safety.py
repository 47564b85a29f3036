"""What is never limited, as one table: each rule has a name, a reason for people, and a test. Pure.

The rules of `RULES` are asked in order and the first that objects is shown; no verdict, policy or approval goes over
them. What others ask, who know the answer (is this still the same process, when it is written?), stands in `ELSEWHERE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.escape import escaped
from brainkernel.model import Category, PackageState, Refusal, Standing, Suspect, Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.config import Safety

PF_KTHREAD = 0x0020_0000  # include/linux/sched.h
SCHED_NORMAL = 0
IO_PRIORITY_DEFAULTS = (0, 2 << 13 | 4)  # ioprio_get(2): kernels differ in how they spell "none of its own"

# What the host or a login cannot do without, by exact path: a file in /tmp called sshd is not sshd.
PROTECTED_EXES = frozenset(
    """
    /usr/lib/systemd/systemd /usr/lib/systemd/systemd-journald /usr/lib/systemd/systemd-logind /usr/lib/systemd/systemd-networkd
    /usr/lib/systemd/systemd-resolved /usr/lib/systemd/systemd-udevd /usr/bin/udevadm /usr/lib/systemd/systemd-timesyncd
    /usr/lib/systemd/systemd-machined /usr/lib/systemd/systemd-oomd /usr/sbin/init
    /usr/bin/dbus-daemon /usr/bin/dbus-broker /usr/bin/dbus-broker-launch /usr/lib/polkit-1/polkitd /usr/libexec/polkitd
    /usr/sbin/NetworkManager /usr/sbin/wpa_supplicant /usr/sbin/sshd /usr/lib/openssh/sshd-session /usr/sbin/agetty /usr/bin/login
    /usr/sbin/rsyslogd /usr/sbin/auditd /usr/sbin/chronyd /usr/sbin/ntpd /usr/sbin/iscsid /usr/sbin/multipathd /usr/sbin/dhclient
    /usr/bin/sudo /usr/bin/su /usr/bin/dpkg /usr/bin/apt /usr/bin/apt-get /usr/bin/rpm /usr/bin/dnf
    /usr/lib/xorg/Xorg /usr/bin/Xwayland /usr/bin/gnome-shell /usr/bin/kwin_wayland /usr/bin/kwin_x11 /usr/bin/plasmashell /usr/bin/mutter
    /usr/bin/sway /usr/bin/weston /usr/bin/Hyprland /usr/bin/labwc /usr/bin/xfwm4 /usr/bin/openbox /usr/bin/i3
    /usr/sbin/gdm3 /usr/sbin/lightdm /usr/bin/sddm /usr/libexec/gdm-wayland-session /usr/libexec/gdm-x-session
    /usr/bin/pipewire /usr/bin/wireplumber /usr/bin/pulseaudio
    """.split()
)
PROTECTED_UNITS = frozenset(
    """
    init.scope dbus.service dbus-broker.service systemd-journald.service systemd-logind.service systemd-udevd.service
    systemd-networkd.service systemd-resolved.service NetworkManager.service ssh.service sshd.service polkit.service
    display-manager.service gdm.service lightdm.service sddm.service brainkernel.service brainkernel-gateway.service
    """.split()
)
# Programs that say how another shall be scheduled: whoever is below them was placed by a person. Most become what they start and are
# nobody's ancestors then; what they set is inherited, and read of the process itself (`Standing`).
DECIDED_BY = frozenset(
    f"/usr/{folder}/{name}"
    for name in ("nice", "chrt", "taskset", "ionice", "gamemoderun", "gamemoded", "schedtool", "cgexec")
    for folder in ("bin", "games")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """All that the rules look at, read at the edge a moment ago."""

    suspect: Suspect
    standing: Standing | None  # None: it ended meanwhile
    ancestor_exes: tuple[str, ...]
    own: frozenset[int]  # pids of our processes and of our ancestors
    limits_last_minute: int
    limits_active: int


@dataclass(frozen=True, slots=True)
class SafetyRule:
    """One rule: `objection` gives the reason to refuse, or None."""

    name: str
    why: str
    objection: Callable[[Surroundings, Safety], str | None]


def _gone(s: Surroundings, _c: Safety) -> str | None:
    return "it has ended" if s.standing is None else None


def _init(s: Surroundings, _c: Safety) -> str | None:
    return "is pid 1" if s.suspect.key.tgid == 1 else None


def _kernel_thread(s: Surroundings, _c: Safety) -> str | None:
    return "is a kernel thread" if s.standing and s.standing.flags & PF_KTHREAD else None


def _ourselves(s: Surroundings, _c: Safety) -> str | None:
    if s.suspect.key.tgid in s.own:
        return "is ours, or what we were started by"
    return None


def _protected_exe(s: Surroundings, c: Safety) -> str | None:
    exe = s.suspect.program.exe
    if exe in c.protected_exes:
        return f"{exe} is on your list of protected programs"
    if exe in PROTECTED_EXES and not _is_modified(s.suspect):
        return f"{exe} is what the host or a login cannot do without"
    return None


def _protected_package(s: Surroundings, c: Safety) -> str | None:
    package = s.suspect.evidence.package
    if package is None or package.name not in c.protected_packages or package.state is not PackageState.VERIFIED:
        return None
    return f"it is the unchanged file of {package.name}, a package on your list of protected ones"


def _is_modified(suspect: Suspect) -> bool:
    package = suspect.evidence.package
    return package is not None and package.state is PackageState.MODIFIED


def _protected_unit(s: Surroundings, c: Safety) -> str | None:
    unit: Unit | None = s.suspect.evidence.unit
    if unit is None:
        return None
    if unit.name in c.protected_units:
        return f"{unit.name} is on your list of protected units"
    return f"{unit.name} is what the host or a login cannot do without" if unit.name in PROTECTED_UNITS else None


def _session_leader(s: Surroundings, _c: Safety) -> str | None:
    return "leads a session (the shell or program that a login began with)" if s.standing and s.standing.leads_session else None


def _foreground(s: Surroundings, _c: Safety) -> str | None:
    return "owns a terminal: a person waits for it" if s.standing and s.standing.owns_terminal else None


def _decided_by_a_person(s: Surroundings, _c: Safety) -> str | None:
    if s.standing is None:
        return None
    by = next((f"was started by {exe}" for exe in s.ancestor_exes if exe in DECIDED_BY), "")
    what = _placed_by_a_person(s.standing) or by
    return f"{what}: somebody already decided how it runs" if what else None


def _placed_by_a_person(now: Standing) -> str:
    facts = (
        (now.nice != 0, f"has nice {now.nice}"),
        (now.policy != SCHED_NORMAL, f"has scheduling policy {now.policy}"),
        (now.io_priority not in IO_PRIORITY_DEFAULTS, f"has I/O priority {now.io_priority >> 13}/{now.io_priority & 7} (ionice)"),
        (now.affinity_restricted, "is bound to some CPUs"),
        (now.game_mode, "was started by gamemoderun"),
    )
    return next((text for holds, text in facts if holds), "")


def _rate(s: Surroundings, c: Safety) -> str | None:
    if s.limits_last_minute < c.max_limits_per_minute:
        return None
    return f"{s.limits_last_minute} limits were set in the last minute, more is not allowed"


def _count(s: Surroundings, c: Safety) -> str | None:
    if s.limits_active < c.max_active_limits:
        return None
    return f"{s.limits_active} limits stand already, more is not allowed"


RULES: tuple[SafetyRule, ...] = (
    SafetyRule("gone", "what has ended cannot be limited, and its pid may be somebody else's", _gone),
    SafetyRule("init", "the host stands and falls with it", _init),
    SafetyRule("kernel_thread", "the kernel's own work has nobody else to do it", _kernel_thread),
    SafetyRule("ourselves", "an agent that slows itself cannot release", _ourselves),
    SafetyRule("protected_exe", "the host or a login cannot do without it", _protected_exe),
    SafetyRule("protected_package", "the operator says so, and the checksum says that it is the package's", _protected_package),
    SafetyRule("protected_unit", "the host or a login cannot do without it", _protected_unit),
    SafetyRule("session_leader", "a slowed shell is a person locked out", _session_leader),
    SafetyRule("terminal", "the foreground of a terminal is what a person waits for", _foreground),
    SafetyRule(
        "decided_by_a_person",
        "nice, chrt, taskset, ionice and gamemoderun are a person's word, and that goes before ours",
        _decided_by_a_person,
    ),
    SafetyRule("rate_limit", "a mistake of ours must stay small", _rate),
    SafetyRule("active_limit", "a mistake of ours must stay small", _count),
)

# What else keeps a limit from being set, by the name that its refusal has.
ELSEWHERE: dict[str, str] = {
    # decide, and what was learned
    "immunity": "what a person works with, sees or hears is nudged by weight and never capped",
    "confidence": "a guess is no reason to slow anybody",
    "exam": "a language model proves what it knows before it may act",
    "approval": "some limits are a person's to allow, and silence is a no",
    "denied": "a person said no",
    "undone": "a person who sets a program free means it",
    "useless": "a limit that helped nobody costs its target for nothing",
    "learned": "what was wrong for a program is likely wrong for those like it",
    "debounce": "one decision about a process that hurts in its time, so that nothing flaps",
    # act: the place
    "cgroup_version": "without the unified hierarchy a limit reaches others, or nobody",
    "sched_ext": "a scheduler of somebody's choice need not heed CPU limits",
    "no_cgroup": "what we cannot see we cannot restore",
    "container": "its runtime writes these cgroups itself",
    "administrator_limit": "a limit that is there is somebody's word, and goes before ours",
    "unit_type": "only services and scopes hold programs",
    "service_manager": "who slows systemd cannot be released by it",
    "inactive": "what is ending needs no limit",
    "shell_with_terminal": "somebody types there",
    "protected_inside": "what shares a unit with a protected program would slow it, too",
    "too_many": "what cannot be put down completely cannot be undone",
    "no_effect": "a limit that nobody feels is a risk for nothing",
    # act: the moment of writing
    "mode": "observe and pause write nothing",
    "already_limited": "two limits on one thing cannot both be restored",
    "foreign": "a value that somebody else set meanwhile is theirs",
    "read_back": "a limit that cannot be seen is taken back",
    "busy": "a harm that was judged long ago may be over",
    "systemd": "what systemd does not do is not done past it",
    "act": "what the host does not let us write is not tried by force",
    "internal": "a fault of ours ends in no limit",
}


def immunity_of(category: Category, surroundings: Surroundings | None) -> str:
    """Why a program has diplomatic immunity (weight may nudge it, nothing may cap it); "" if it has none."""
    if category is Category.INTERACTIVE:
        return "is what a person works with"
    presents = surroundings.standing.presents if surroundings and surroundings.standing else ""
    return f"has {escaped(presents)} open: a person sees or hears it" if presents else ""


def protection_of(exe: str, unit: str, config: Safety) -> str:
    """Why a process that shares a target's unit must not be slowed with it; "" if nothing speaks against it."""
    if exe in PROTECTED_EXES or exe in config.protected_exes:
        return f"{exe} is protected"
    return f"{unit} is protected" if unit in PROTECTED_UNITS or unit in config.protected_units else ""


def objections_of(surroundings: Surroundings, config: Safety) -> tuple[Refusal, ...]:
    """Every rule that objects, in the order of the table; empty: nothing speaks against a limit."""
    found = []
    for rule in RULES:
        reason = rule.objection(surroundings, config)
        if reason is not None:
            found.append(Refusal(rule=rule.name, reason=reason))
    return tuple(found)
