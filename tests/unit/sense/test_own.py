from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from brainkernel.model import Ancestor, Exec, ProcessKey
from brainkernel.own import Own

if TYPE_CHECKING:
    from pathlib import Path


def a_start(tgid: int = 7, cgroup: str = "/system.slice/cron.service", above: tuple[int, ...] = ()) -> Exec:
    ancestors = tuple(Ancestor(ProcessKey(pid, 0), "", None, "") for pid in above)
    return Exec(time_ns=1, key=ProcessKey(tgid, 0), cgroup=cgroup, ancestors=ancestors)


def a_proc(tmp_path: Path, cgroup: str) -> Path:
    (tmp_path / str(os.getpid())).mkdir()
    (tmp_path / str(os.getpid()) / "cgroup").write_text(f"0::{cgroup}\n")
    return tmp_path


def test_own_are_the_services_whoever_starts_them(tmp_path: Path) -> None:
    """The gateway and what the unit runs at reload and stop are systemd's children, not the daemon's."""
    own = Own.read(a_proc(tmp_path, "/system.slice/brainkernel.service"))

    assert own.has(a_start(cgroup="/system.slice/brainkernel.service"))
    assert own.has(a_start(cgroup="/system.slice/brainkernel-gateway.service"))
    assert not own.has(a_start())


@pytest.mark.parametrize("cgroup", ["/user.slice/user-0.slice/session-1.scope", "/", ""])
def test_own_in_the_foreground_is_not_the_session(tmp_path: Path, cgroup: str) -> None:
    """Whoever tries the agent in a terminal wants to see what happens there."""
    own = Own.read(a_proc(tmp_path, cgroup))

    assert not own.has(a_start(cgroup=cgroup))
    assert not own.has(a_start(cgroup="/user.slice/user-0.slice/brainkernel-gateway.service"))


def test_own_is_the_agent_and_what_descends_from_it(tmp_path: Path) -> None:
    """Also where an event did not come by the kernel, which leaves them out itself."""
    own = Own.read(a_proc(tmp_path, "/"))

    assert own.has(a_start(tgid=os.getpid()))
    assert own.has(a_start(above=(5, os.getpid(), 1)))
    assert not own.has(a_start(above=(5, 1)))
