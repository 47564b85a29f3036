"""A login session as a person has one: through sshd and PAM, registered with logind, on a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vm.inside.processes import exe_of
from vm.inside.systemd import cgroup_dir_of, property_of, sessions_of
from vm.inside.units import HOG, SIBLING, pids_in
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "alice"
_SHELL = "/usr/bin/bash"
KEY = Path("/root/.ssh/id_ed25519")
_KNOWN_HOSTS = Path("/root/.ssh/known_hosts")


@dataclass(frozen=True, slots=True)
class LoginSession:
    """One session and the three processes that share its scope, the last two started from the shell."""

    id: str
    scope: str  # the unit's name
    cgroup: Path
    slice: str  # of the user: shared by all sessions
    shell: int
    hog: int
    sibling: int


def allow_login() -> None:
    """Give root a key with which it may log in as the user."""
    KEY.parent.mkdir(mode=0o700, exist_ok=True)
    if not KEY.exists():
        output_of("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(KEY))
    theirs = Path("/home", USER, ".ssh", "authorized_keys")
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text(KEY.with_suffix(".pub").read_text())
    host_key = Path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    _KNOWN_HOSTS.write_text(f"127.0.0.1 {host_key}")


@contextmanager
def a_login_session(*, hog: Path = HOG, sibling: Path = SIBLING) -> Iterator[LoginSession]:
    """Log in and start two busy loops in the background of the shell: the hog and its innocent sibling.

    Afterwards everything of the user is gone, so that the next test finds the cgroup tree as this one did.
    """
    command = ["ssh", "-tt", "-q", "-o", "BatchMode=yes", "-i", str(KEY), f"{USER}@127.0.0.1"]
    known = sessions_of(USER)
    started: list[int] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as ssh:
        assert ssh.stdin is not None
        try:
            ssh.stdin.write(f"{hog} >/dev/null &\n{sibling} >/dev/null &\n".encode())
            ssh.stdin.flush()
            new = wait_until(lambda: [s for s in sessions_of(USER) if s not in known], "a session of logind")
            session = _session(new[0], hog, sibling)
            started += [session.hog, session.sibling]
            yield session
        finally:
            _end(ssh, started)


def _session(session_id: str, hog: Path, sibling: Path) -> LoginSession:
    def find() -> LoginSession | None:
        scope = output_of("loginctl", "show-session", "-P", "Scope", session_id)
        if not property_of(scope, "ControlGroup"):  # the session is known before its scope has started
            return None
        cgroup = cgroup_dir_of(scope)
        by_exe = {exe_of(pid): pid for pid in pids_in(cgroup)}
        found = [by_exe.get(exe) for exe in (_SHELL, str(hog), str(sibling))]
        if None in found:
            return None
        return LoginSession(session_id, scope, cgroup, property_of(scope, "Slice"), *(pid for pid in found if pid))

    return wait_until(find, f"shell, {hog} and {sibling} in the scope of session {session_id}")


def _end(ssh: subprocess.Popen[bytes], started: list[int]) -> None:
    for pid in started:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ssh.kill()
    # Not the session alone: its user's manager keeps controllers on for ten more seconds, and a process
    # that was moved out of the scope would outlive it.
    output_of("systemctl", "stop", "user-1000.slice")
    wait_until(lambda: not sessions_of(USER), "the end of the session")
