"""A hog as cron and nohup run it: among others, or left alone."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vm.inside.cgroups import ROOT
from vm.inside.processes import cgroup_of, exe_of, stat_of
from vm.inside.sessions import KEY, USER
from vm.inside.units import HOG, pids_in
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CRON = ROOT / "system.slice/cron.service"
SCHED_IDLE = 5


def policy_of(pid: int) -> int:
    """The scheduling policy of a process's first thread."""
    return int(stat_of(pid)[38])


def hogs_in(cgroup: Path, count: int = 1) -> list[int]:
    """The hogs in a cgroup; waits for so many."""
    return wait_until(lambda: [p for p in pids_in(cgroup) if exe_of(p) == str(HOG)][:count] or None, f"the hog in {cgroup}")


@contextmanager
def a_cron_job() -> Iterator[int]:
    """A job of cron that begins at once: @reboot jobs do when cron starts for the first time after a boot."""
    table = Path("/etc/cron.d/act")
    table.write_text(f"@reboot {USER} {HOG} >/dev/null; true\n")
    Path("/run/crond.reboot").unlink(missing_ok=True)
    output_of("systemctl", "restart", "cron.service")
    try:
        yield hogs_in(CRON)[0]
    finally:
        table.unlink()
        output_of("systemctl", "kill", "--kill-whom=all", "--signal=KILL", "cron.service")
        output_of("systemctl", "restart", "cron.service")


@contextmanager
def a_nohup_job() -> Iterator[int]:
    """A job that outlives the login that started it."""
    command = ["ssh", "-q", "-o", "BatchMode=yes", "-i", str(KEY), f"{USER}@127.0.0.1", f"nohup {HOG} >/dev/null 2>&1 </dev/null & echo $!"]
    pid = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    try:
        wait_until(lambda: exe_of(pid) == str(HOG), "the job of nohup")
        wait_until(lambda: len(pids_in(ROOT / cgroup_of(pid).lstrip("/"))) == 1, "the end of the login")
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        output_of("systemctl", "stop", "user-1000.slice")
