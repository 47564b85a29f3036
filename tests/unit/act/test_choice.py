"""The route for every kind of place a process may live in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from brainkernel.act.cgroupfs import MAX_MEMBERS, CgroupVersion
from brainkernel.act.choice import route_of
from brainkernel.act.place import Place
from brainkernel.act.procfs import Member
from brainkernel.act.systemd import LIMIT_PROPERTIES, NOT_SET, UnitState
from brainkernel.model import ProcessKey, Route

TTY = 34816
UNSET = dict.fromkeys(LIMIT_PROPERTIES, NOT_SET)


def a_member(tgid: int, exe: str, ppid: int = 1, **changes: Any) -> Member:
    plain: dict[str, Any] = {
        "key": ProcessKey(tgid, tgid * 10_000_000),
        "ppid": ppid,
        "comm": exe.rpartition("/")[2],
        "exe": exe,
        "argv": f"{exe}\0",
        "session": 1,
    }
    return Member(**(plain | changes))


def a_unit(name: str, slice_name: str = "system.slice", **changes: Any) -> UnitState:
    parent = f"/{slice_name}" if slice_name else ""
    plain: dict[str, Any] = {"name": name, "active": True, "slice": slice_name, "control_group": f"{parent}/{name}", "limits": UNSET}
    return UnitState(**(plain | changes))


def a_place(unit: UnitState | None, *members: Member, **changes: Any) -> Place:
    """The target is the member with pid 10."""
    target = next(member for member in members if member.key.tgid == 10)
    plain: dict[str, Any] = {
        "target": target,
        "version": CgroupVersion.V2,
        "cgroup": unit.control_group if unit else "/",
        "unit": unit,
        "members": members,
    }
    return Place(**(plain | changes))


HOG = a_member(10, "/usr/bin/hog")
SSHD = a_member(2, "/usr/sbin/sshd", session=2)
LOGIN_SHELL = a_member(3, "/usr/bin/bash", 2, session=3, tty=TTY)
SESSION = a_unit("session-3.scope", "user-1000.slice")
HOG_OF_SHELL = a_member(10, "/usr/bin/hog", 3, session=3, tty=TTY)
TERMINAL = a_unit("vte-spawn-1f2e.scope", "app.slice")
APP = a_unit("app-firefox-42.scope", "app.slice")
FIREFOX = a_member(4, "/usr/lib/firefox/firefox", session=4)
PYTHON = "/usr/bin/python3.11"


def in_session(hog: Member = HOG_OF_SHELL, *others: Member, **changes: Any) -> Place:
    return a_place(SESSION, SSHD, LOGIN_SHELL, hog, *others, **changes)


OWN = {
    "a service of its own": a_place(a_unit("updatedb.service"), HOG),
    "a service and its own children": a_place(a_unit("backup.service"), HOG, a_member(11, "/usr/bin/gzip", 10)),
    "a service whose command line is a shell script": a_place(
        a_unit("apt-daily.service"), a_member(5, "/bin/dash"), a_member(10, "/usr/bin/apt-get", 5)
    ),
    "a worker of postgres, all of one program": a_place(
        a_unit("postgresql@15-main.service"),
        a_member(5, "/usr/lib/postgresql/15/bin/postgres"),
        a_member(10, "/usr/lib/postgresql/15/bin/postgres", 5),
        a_member(11, "/usr/lib/postgresql/15/bin/postgres", 5),
    ),
    "the main process of postgres": a_place(
        a_unit("postgresql@15-main.service"),
        a_member(10, "/usr/lib/postgresql/15/bin/postgres"),
        a_member(11, "/usr/lib/postgresql/15/bin/postgres", 10),
    ),
    "a gunicorn worker beside workers with the same command line": a_place(
        a_unit("web.service"), a_member(5, PYTHON, argv="gunicorn\0app"), a_member(10, PYTHON, 5, argv="gunicorn\0app")
    ),
    "an app's scope": a_place(APP, a_member(10, "/usr/lib/firefox/firefox"), a_member(11, "/usr/lib/firefox/crashhelper", 10)),
    "one of a browser's content processes": a_place(APP, FIREFOX, a_member(10, "/usr/lib/firefox/firefox", 4)),
    "a user's service": a_place(a_unit("tracker-miner-fs-3.service", "background.slice"), HOG, user_uid=1000),
    "a sandboxed service of its own": a_place(a_unit("fwupd.service", bound=("IPAddressDeny", "MemoryMax")), HOG),
    "a transient service": a_place(a_unit("run-u42.service"), HOG),
    "a scope of ours from an earlier limit": a_place(a_unit("brainkernel-10-5.scope", "user-1000.slice"), HOG_OF_SHELL),
    "a session's scope that only the job is left in (nohup, logged out)": a_place(SESSION, a_member(10, "/usr/bin/hog", 1)),
    "a terminal's scope that runs the job itself": a_place(TERMINAL, a_member(10, "/usr/bin/hog", session=10, tty=TTY)),
    "a delegated service with cgroups below": a_place(
        a_unit("builder.service", delegate=True), HOG, cgroup="/system.slice/builder.service/job-1"
    ),
    "the root of a threaded subtree": a_place(a_unit("rt.service"), HOG, cgroup_type="domain threaded"),
    "a job of cron that has a unit of its own": a_place(
        a_unit("cron-hourly.service"), a_member(5, "/usr/bin/sh"), a_member(10, "/bin/x", 5)
    ),
    "a GNOME app's scope": a_place(
        a_unit("app-gnome-org.gnome.Builder-4242.scope", "app.slice"), a_member(10, "/usr/bin/gnome-builder"), user_uid=1000
    ),
    "a KDE app's service": a_place(a_unit("app-org.kde.kate@1f2e.service", "app.slice"), a_member(10, "/usr/bin/kate"), user_uid=1000),
    "a service with a memory limit of the administrator": a_place(a_unit("x.service", limits={**UNSET, "MemoryHigh": 1 << 30}), HOG),
    "a job that deleted its own file": a_place(a_unit("x.service"), a_member(10, "/opt/x (deleted)"), a_member(11, "/opt/x (deleted)")),
}

SPLIT = {
    "a job of a login shell": in_session(),
    "a job beside an innocent one": in_session(HOG_OF_SHELL, a_member(20, "/usr/bin/vim", 3, session=3, tty=TTY)),
    "a job beside another run of the same program": in_session(HOG_OF_SHELL, a_member(20, "/usr/bin/hog", 3, session=3, tty=TTY)),
    "a job put off with setsid": in_session(a_member(10, "/usr/bin/hog", 1, session=10)),
    "a job of nohup": in_session(a_member(10, "/usr/bin/hog", 1, session=3)),
    "a shell script at a terminal": in_session(a_member(10, "/usr/bin/bash", 3, session=3, tty=TTY, argv="bash\0./job.sh\0")),
    "a build, with its recipes' shells": in_session(
        a_member(10, "/usr/bin/make", 3, session=3, tty=TTY),
        a_member(11, "/usr/bin/dash", 10, session=3, tty=TTY, argv="/bin/sh\0-c\0gcc -c x.c\0"),
    ),
    "a command line of its own": in_session(a_member(10, "/usr/bin/bash", 3, session=3, tty=TTY, argv="bash\0-ec\0while :; do :; done\0")),
    "ssh host job, without a terminal": a_place(
        SESSION, SSHD, a_member(3, "/usr/bin/bash", 2, session=3), a_member(10, "/usr/bin/hog", 3, session=3)
    ),
    "a job in a terminal's tab": a_place(
        TERMINAL, a_member(3, "/usr/bin/zsh", session=3, tty=TTY), a_member(10, "/usr/bin/hog", 3, session=3, tty=TTY), user_uid=1000
    ),
    "a script of the shell that a tab runs": a_place(
        TERMINAL, a_member(3, "/usr/bin/bash", session=3, tty=TTY), a_member(10, "/usr/bin/bash", 3, session=4, argv="bash\0x.sh")
    ),
    "a build in an editor's scope": a_place(
        a_unit("app-code-7.scope", "app.slice"), a_member(4, "/usr/share/code/code"), a_member(10, "/usr/bin/make", 4)
    ),
    "two different scripts of one interpreter": a_place(
        APP, a_member(4, PYTHON, argv="python3\0good.py"), a_member(10, PYTHON, 1, argv="python3\0bad.py")
    ),
}

HUNG = replace(HOG, kernel_thread=True)
KUBEPOD = a_unit("cri-containerd-0123456789abcdef.scope", "kubepods-burstable.slice")
DOCKER = a_unit("docker-0123456789abcdef.scope")
REFUSED = {
    ("kernel_thread", "a thread of the kernel"): a_place(None, HUNG),
    ("kernel_thread", "a thread of the kernel where systemd does not run"): a_place(None, HUNG, systemd=False),
    ("cgroup_version", "WSL with the hybrid tree, without systemd"): a_place(None, HOG, version=CgroupVersion.HYBRID, systemd=False),
    ("session_leader", "a shell at a terminal where systemd does not run"): a_place(
        None, a_member(10, "/bin/ash", session=10, tty=TTY), systemd=False
    ),
    ("protected_inside", "dpkg below unattended-upgrades, as the list of protected programs has it"): a_place(
        a_unit("apt-daily-upgrade.service"),
        a_member(5, PYTHON, argv="unattended-upgrade\0"),
        a_member(10, "/usr/bin/dpkg", 5, protected="/usr/bin/dpkg is protected"),
    ),
    ("container", "a podman container of a user"): a_place(
        a_unit("libpod-0123456789abcdef.scope", "user.slice"), HOG, container="libpod-0123456789abcdef", user_uid=1000
    ),
    ("container", "a docker container without systemd's driver"): a_place(None, HOG, cgroup="/docker/0123456789ab", container="docker"),
    ("administrator_limit", "a unit with an I/O weight of its own"): a_place(a_unit("x.service", limits={**UNSET, "IOWeight": 50}), HOG),
    ("administrator_limit", "cron with a weight that an administrator gave it"): a_place(
        a_unit("cron.service", limits={**UNSET, "CPUWeight": 50}), a_member(4, "/usr/sbin/cron"), a_member(10, "/usr/bin/hog", 4)
    ),
    ("cgroup_version", "a host with cgroup v1"): a_place(a_unit("x.service"), HOG, version=CgroupVersion.V1),
    ("cgroup_version", "a hybrid host"): a_place(a_unit("x.service"), HOG, version=CgroupVersion.HYBRID),
    ("sched_ext", "a BPF scheduler"): a_place(a_unit("x.service"), HOG, sched_ext="lavd_1.0.9"),
    ("no_cgroup", "a cgroup that was removed"): a_place(None, HOG, cgroup=""),
    ("ourselves", "the agent's own cgroup"): a_place(a_unit("brainkernel.service"), HOG, ours=True),
    ("container", "a docker scope"): a_place(DOCKER, HOG, container="docker-0123456789abcdef"),
    ("container", "a pod"): a_place(KUBEPOD, HOG, container="kubepods"),
    ("container", "an LXC container"): a_place(a_unit("-.slice", ""), HOG, cgroup="/lxc.payload.c1/x", container="lxc.payload."),
    ("container", "a virtual machine"): a_place(a_unit("machine-qemu.scope", "machine.slice"), HOG, container="machine.slice"),
    ("unit_type", "the helper of a mount"): a_place(a_unit("data.mount"), HOG),
    ("service_manager", "systemd itself"): a_place(a_unit("init.scope", ""), HOG),
    ("service_manager", "a user's systemd"): a_place(a_unit("user@1000.service", "user.slice"), HOG),
    ("too_many", "a unit with thousands of processes"): a_place(a_unit("x.service"), *[HOG] * MAX_MEMBERS),
    ("inactive", "a unit that is ending"): a_place(a_unit("x.service", active=False), HOG),
    ("administrator_limit", "a unit with a weight of its own"): a_place(a_unit("x.service", limits={**UNSET, "CPUWeight": 50}), HOG),
    ("administrator_limit", "a unit with a quota of its own"): a_place(
        a_unit("x.service", limits={**UNSET, "CPUQuotaPerSecUSec": 500_000}), HOG
    ),
    ("administrator_limit", "a cgroup that was written past systemd"): a_place(
        a_unit("x.service"), HOG, limit_files={"cpu.max": "50000 100000", "cpu.weight": "100"}
    ),
    ("administrator_limit", "a service that may read ten megabytes a second"): a_place(a_unit("x.service"), HOG, confines=("io.max",)),
    ("administrator_limit", "a service that is bound to some CPUs"): a_place(a_unit("x.service"), HOG, confines=("cpuset.cpus",)),
    ("protected_inside", "a unit with a protected program inside"): a_place(
        a_unit("x.service"), HOG, a_member(11, "/usr/bin/precious", 10, protected="the operator protects it")
    ),
    ("protected_inside", "a family with a protected program inside"): in_session(
        HOG_OF_SHELL, a_member(11, "/usr/bin/precious", 10, session=3, protected="the operator protects it")
    ),
    ("shell_with_terminal", "a terminal multiplexer of its own, with somebody's shells inside"): a_place(
        a_unit("tmux-spawn-1.scope", "app.slice"), a_member(10, "/usr/bin/tmux"), a_member(11, "/usr/bin/bash", 10, session=11, tty=TTY)
    ),
    ("session_leader", "a login shell"): a_place(SESSION, SSHD, replace(LOGIN_SHELL, key=ProcessKey(10, 100_000_000), session=10)),
    ("session_leader", "a program with terminals of its own below it"): in_session(
        a_member(10, "/usr/bin/script", 3, session=3, tty=TTY), a_member(11, "/usr/bin/top", 10, session=11, tty=TTY + 1)
    ),
    ("shell_with_terminal", "a shell inside a shell"): in_session(a_member(10, "/usr/bin/fish", 3, session=3, tty=TTY)),
    ("shell_with_terminal", "root's shell by sudo"): in_session(
        a_member(10, "/usr/bin/sudo", 3, session=3, tty=TTY), a_member(11, "/usr/bin/bash", 10, session=3, tty=TTY, argv="-bash\0")
    ),
    ("shell_with_terminal", "a shell with options"): in_session(
        a_member(10, "/usr/bin/bash", 3, session=3, tty=TTY, argv="bash\0--init-file\0/x.sh\0")
    ),
}  # fmt: skip


TASKS = {
    "a job of cron": a_place(
        a_unit("cron.service"),
        a_member(4, "/usr/sbin/cron"),
        a_member(5, "/usr/sbin/cron", 4),
        a_member(6, "/bin/sh", 5),
        a_member(10, "/usr/bin/hog", 6),
    ),
    "a job of at": a_place(a_unit("atd.service"), a_member(4, "/usr/sbin/atd"), a_member(10, "/usr/bin/hog", 4)),
    "a child of sshd outside of a session": a_place(a_unit("ssh.service"), SSHD, a_member(10, "/usr/bin/hog", 2)),
    "a converter that a web server started": a_place(
        a_unit("apache2.service"), a_member(4, "/usr/sbin/apache2"), a_member(10, "/usr/bin/convert", 4)
    ),
    "one of supervisor's programs": a_place(
        a_unit("supervisor.service"), a_member(4, PYTHON, argv="supervisord"), a_member(10, PYTHON, 4, argv="python3\0worker.py")
    ),
    "dpkg below a package manager's daemon": a_place(
        a_unit("packagekit.service"), a_member(4, "/usr/libexec/packagekitd"), a_member(10, "/usr/bin/dpkg", 4)
    ),
    "a user's manager that does not answer": a_place(
        a_unit("user@1000.service", "user.slice"), HOG, user_uid=1000, user_manager_error="no answer within 1 s"
    ),
    "a cgroup that no unit owns": a_place(a_unit("-.slice", ""), HOG, cgroup="/mine"),
    "the root cgroup": a_place(None, HOG),
    "a thread group spread over cgroups": a_place(a_unit("x.service"), HOG, cgroup_type="threaded"),
    "a user's manager without the cpu controller": a_place(a_unit("x.service"), HOG, cpu_controller=False),
    "a scope with limits that a move would undo": replace(in_session(), unit=replace(SESSION, bound=("MemoryMax",))),
    "a cgroup that an app arranged below its scope": in_session(cgroup="/user-1000.slice/session-3.scope/x"),
    "an upload's own program in the service that takes uploads": a_place(
        a_unit("php8.2-fpm.service"), a_member(4, "/usr/sbin/php-fpm8.2"), a_member(10, "/usr/bin/ffmpeg", 4)
    ),
    "what unattended-upgrades starts beside dpkg": a_place(
        a_unit("apt-daily-upgrade.service"),
        a_member(4, "/usr/bin/dash", argv="/bin/sh\0/usr/lib/apt/apt.systemd.daily\0"),
        a_member(5, PYTHON, 4, argv="unattended-upgrade\0"),
        a_member(10, "/usr/bin/mandb", 5),
    ),
    "a browser's scope whose user's manager has no cpu controller": a_place(APP, FIREFOX, HOG, cpu_controller=False, user_uid=1000),
    "a process on OpenRC in a cgroup with a memory limit": a_place(None, HOG, systemd=False, cgroup="/openrc.x", confines=("memory.max",)),
    "a threaded cgroup where systemd does not run": a_place(None, HOG, systemd=False, cgroup_type="threaded"),
    "a container's root without the cpu controller": a_place(None, HOG, systemd=False, cpu_controller=False),
}

SUBTREE = {
    "WSL without systemd": a_place(None, HOG, systemd=False),
    "a service of OpenRC": a_place(
        None, a_member(4, "/sbin/supervise-daemon"), a_member(10, "/usr/bin/hog", 4), systemd=False, cgroup="/openrc.x"
    ),
    "a login on runit": a_place(None, a_member(3, "/bin/ash", session=3, tty=TTY), HOG_OF_SHELL, systemd=False),
}


@pytest.mark.parametrize("place", OWN.values(), ids=OWN)
def test_route_is_the_unit_when_the_unit_is_the_program(place: Place) -> None:
    """A unit that runs nothing but the target's program is limited as a whole."""
    assert route_of(place).route is Route.UNIT


@pytest.mark.parametrize("place", SPLIT.values(), ids=SPLIT)
def test_route_is_a_scope_when_a_scope_is_shared(place: Place) -> None:
    """From a scope with others in it, only the target and what it started are taken out."""
    plan = route_of(place)

    assert plan.route is Route.SCOPE
    assert plan.move[0].key.tgid == 10
    assert all(member.key.tgid in (10, 11) for member in plan.move)


@pytest.mark.parametrize("place", TASKS.values(), ids=TASKS)
def test_route_is_single_tasks_where_a_cgroup_must_not_be_split(place: Place) -> None:
    """Nobody is moved, and nobody but the target and what it started is touched."""
    plan = route_of(place)

    assert plan.route is Route.TASK
    assert plan.move[0].key.tgid == 10
    assert all(member.key.tgid in (10, 11) for member in plan.move)
    assert plan.reason


@pytest.mark.parametrize("place", SUBTREE.values(), ids=SUBTREE)
def test_route_is_a_subtree_where_systemd_does_not_run(place: Place) -> None:
    """Nobody owns the tree, so that a cgroup of our own may be made."""
    plan = route_of(place)

    assert plan.route is Route.SUBTREE
    assert [member.key.tgid for member in plan.move] == [10]


def test_there_are_sixty_places_and_more() -> None:
    """Each line of the contracts has a place that it decides about."""
    assert len(OWN) + len(SPLIT) + len(TASKS) + len(SUBTREE) + len(REFUSED) >= 60


@pytest.mark.parametrize(("rule", "place"), [(rule, place) for (rule, _), place in REFUSED.items()], ids=[what for _, what in REFUSED])
def test_route_is_refused_with_its_rule(rule: str, place: Place) -> None:
    """Where no contract allows a limit, or somebody decided already, nothing is done and the rule is named."""
    plan = route_of(place)

    assert (plan.route, plan.rule) == (Route.REFUSE, rule)
    assert plan.reason


def test_a_docker_scope_is_a_unit_when_the_operator_lets_us() -> None:
    """Opt-in is for containers that systemd manages ..."""
    assert route_of(a_place(DOCKER, HOG, container="docker-0123456789abcdef"), containers=True).route is Route.UNIT


def test_a_pod_is_left_alone_even_then() -> None:
    """... never for those that kubelet writes itself."""
    assert route_of(a_place(KUBEPOD, HOG, container="kubepods"), containers=True).rule == "container"


def test_a_reason_shows_hostile_names_escaped() -> None:
    """A program names itself; the reason is printed to a terminal."""
    place = a_place(a_unit("cron.service"), a_member(4, "/usr/sbin/cron", comm="\x1b[2Jcron"), a_member(10, "/usr/bin/hog", 4))

    assert r"\x1b[2Jcron" in route_of(place).reason


def test_a_reason_names_whom_the_service_serves() -> None:
    """The reason is what a person reads in `explain`."""
    place = a_place(a_unit("cron.service"), a_member(4, "/usr/sbin/cron"), a_member(10, "/usr/bin/hog", 4))

    assert "cron.service is shared with cron" in route_of(place).reason
