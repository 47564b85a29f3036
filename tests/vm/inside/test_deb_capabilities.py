"""Each right that the daemon's unit leaves to it carries a feature: without it, that feature is gone, so none is superfluous."""

from __future__ import annotations

import json
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vm.inside import deb
from vm.inside.hogs import quota_pct_of
from vm.inside.jobs import SCHED_IDLE, a_cron_job, policy_of
from vm.inside.systemd import property_of
from vm.inside.units import HOG, a_victim
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

USER = "alice"
HOME = Path("/home", USER)  # which only its owner may enter
DROP_IN = Path("/run/systemd/system/brainkernel.service.d/50-test.conf")
SHOWN_WITHIN_S = 120.0
LISTING_S = 2.0  # a list of all connections takes long in an emulated machine, and the next rests twenty times as long
LIMITED_WITHIN_S, NOT_LIMITED_S = 240.0, 20.0


@pytest.fixture(scope="module", autouse=True)
def _enforcing(package: deb.Installed) -> Iterator[None]:
    output_of("loginctl", "enable-linger", USER)
    wait_until(Path(f"/run/user/{pwd.getpwnam(USER).pw_uid}/bus").exists, "the user's own systemd", within_s=deb.START_S)
    deb.forget_all()
    deb.configure_to_enforce()
    yield
    shutil.rmtree(DROP_IN.parent, ignore_errors=True)
    output_of("loginctl", "disable-linger", USER)


def programs_are_seen() -> bool:
    """The BPF programs are in the kernel."""
    return deb.active(deb.DAEMON) and bool(deb.status()["loader"] == "core")


def the_kernel_wakes_it() -> bool:
    """It holds a trigger on the pressure file."""
    descriptors = Path("/proc", str(deb.main_pid(deb.DAEMON)), "fd").iterdir()
    return "/proc/pressure/cpu" in {str(fd.readlink()) for fd in descriptors if fd.is_symlink()}


def others_directories_are_seen() -> bool:
    """Where a program of another user works is known while it runs."""
    program = _a_new_program("works", "/usr/bin/sleep")
    with subprocess.Popen([*_AS_USER, program, "60"], cwd=HOME) as process:
        try:
            return _shown(program, "cwd") == str(HOME)
        finally:
            process.kill()


def others_connections_are_seen() -> bool:
    """What the input of another user's program is connected to is evidence; so is, by the same look, what a person sees of it."""
    program = _a_new_program("connected", "/usr/bin/sleep")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as end:
        far, _ = server.accept()
        time.sleep(LISTING_S)
        with far, subprocess.Popen([*_AS_USER, program, "600"], cwd=HOME, stdin=end.fileno()) as process:
            try:
                return bool(_shown(program, "remote_stdio", of="evidence"))
            finally:
                process.kill()


def short_lived_programs_of_private_directories_are_named() -> bool:
    """A program that ended before it could be looked at is found below a directory that only its owner may enter."""
    program = _a_new_program("ends", "/usr/bin/true")
    subprocess.run([*_AS_USER, program.name], cwd=HOME, env={"PATH": f"{HOME}:/usr/bin"}, check=True)
    return _shown(program, "exe") == str(program)


def units_of_users_are_limited(within_s: float = LIMITED_WITHIN_S) -> bool:
    """A unit of a user's own systemd is limited through that systemd."""
    environment = [f"XDG_RUNTIME_DIR=/run/user/{pwd.getpwnam(USER).pw_uid}"]
    command = [*_AS_USER, "env", *environment, "systemd-run", "--user", "--quiet", "--collect", "--unit=batch", "/bin/sh", "-c"]
    output_of(*command, f"{HOG} >/dev/null & exec {HOG} >/dev/null")
    uid = pwd.getpwnam(USER).pw_uid
    cgroup = Path(f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/app.slice/batch.service")
    try:
        with a_victim():
            return _in_time(lambda: quota_pct_of(cgroup), within_s)
    finally:
        output_of(*_AS_USER, "env", *environment, "systemctl", "--user", "stop", "batch.service")


def jobs_of_cron_are_limited(within_s: float = LIMITED_WITHIN_S) -> bool:
    """A job among others of one service is slowed task by task, although it is another user's."""
    with a_cron_job() as hog, a_victim():
        return _in_time(lambda: policy_of(hog) == SCHED_IDLE, within_s)


FEATURE_OF: dict[str, Callable[..., bool]] = {
    "cap_bpf": programs_are_seen,
    "cap_perfmon": programs_are_seen,
    "cap_sys_ptrace": others_directories_are_seen,
    "cap_dac_read_search": others_connections_are_seen,
    "cap_setuid": units_of_users_are_limited,
    "cap_sys_nice": jobs_of_cron_are_limited,
}


# What might be thought to need a right that the unit does not leave.
NEEDS_NONE = (the_kernel_wakes_it, short_lived_programs_of_private_directories_are_named)


def test_deb_daemon_has_the_capabilities_that_are_tested_here() -> None:
    """No other."""
    assert set(property_of(deb.DAEMON, "CapabilityBoundingSet").split()) == set(FEATURE_OF)


@pytest.mark.parametrize("feature", dict.fromkeys((*FEATURE_OF.values(), *NEEDS_NONE)), ids=lambda f: f.__name__)
def test_deb_daemon_has_the_feature(feature: Callable[..., bool]) -> None:
    """With the set as it is."""
    with deb.explained(HOG):
        assert feature()


@pytest.mark.parametrize("capability", FEATURE_OF)
def test_deb_daemon_loses_a_feature_without(capability: str) -> None:
    """With this one taken out of the set."""
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    DROP_IN.write_text(f"[Service]\nCapabilityBoundingSet=~{capability.upper()}\n")
    output_of("systemctl", "daemon-reload")
    subprocess.run(["systemctl", "reset-failed", deb.DAEMON], check=False, capture_output=True)
    # It may not start at all: then the feature is gone, too.
    subprocess.run(["systemctl", "restart", deb.DAEMON], check=False, capture_output=True)

    feature = FEATURE_OF[capability]

    assert not (feature(NOT_LIMITED_S) if feature in (units_of_users_are_limited, jobs_of_cron_are_limited) else feature())


_AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups")
_made: list[Path] = []


def _a_new_program(name: str, source: str) -> Path:
    program = HOME / f"{name}-{len(_made)}"
    _made.append(program)
    shutil.copy(source, program)
    shutil.chown(program, USER, USER)
    return program


# What is known of a program by now, as a person would find it: by its name, in the list.
def _shown(program: Path, key: str, *, of: str = "program") -> str | None:
    found: list[str] = []

    def look() -> bool:
        for line in output_of(deb.COMMAND, "list", "--json", "--program", program.name).splitlines():
            explained = json.loads(output_of(deb.COMMAND, "explain", "--json", str(json.loads(line)["id"])))
            found.append(_inside(explained, of).get(key, ""))
        return bool(found)

    return found[0] if _in_time(look, SHOWN_WITHIN_S) else None


def _inside(thing: object, key: str) -> Any:
    if isinstance(thing, dict):
        return thing[key] if key in thing else next((f for v in thing.values() if (f := _inside(v, key)) is not None), None)
    return None


def _in_time(look: Callable[[], object], within_s: float) -> bool:
    try:
        wait_until(lambda: bool(look()), "it", within_s=within_s, every_s=1)
    except AssertionError:
        return False
    return True
