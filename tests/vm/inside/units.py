"""Programs that load the machine: busy loops in units of their own, and somebody who suffers from them."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vm.inside.cgroups import ROOT
from vm.inside.processes import exe_of
from vm.inside.systemd import cgroup_dir_of
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each is a copy of yes(1): one thread that never stops, with a file of its own to be recognised by.
HOG = Path("/opt/batch/indexer")
SIBLING = Path("/opt/work/render")
VICTIM = Path("/opt/serve/answer")
PROTECTED = Path("/opt/serve/payments")
PROGRAMS = (HOG, SIBLING, VICTIM, PROTECTED)
# Of no package and no rule, and not where services lie: below /opt the rules take a unit's main process for a service, and no model is asked.
STRANGER = Path("/data/acme/cruncher")
STRANGERS_UNIT = "acme.service"
LOOPS_THAT_FILL_THE_MACHINE = 2  # one per CPU of the VM


def install_programs() -> None:
    """Put the busy loops where the tests expect them."""
    for program in PROGRAMS:
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/usr/bin/yes", program)


@dataclass(frozen=True, slots=True)
class Unit:
    """A running unit that does nothing but loop."""

    name: str
    pids: tuple[int, ...]  # the main process first

    @property
    def cgroup(self) -> Path:
        """Its directory in the cgroup tree."""
        return cgroup_dir_of(self.name)


@contextmanager
def a_unit(
    program: Path = HOG, *, name: str = "batch-index.service", loops: int = LOOPS_THAT_FILL_THE_MACHINE, kill_mode: str = "control-group"
) -> Iterator[Unit]:
    """Run busy loops in a transient service of their own: a main process and its children, all of one program."""
    script = f"{program} >/dev/null & " * (loops - 1) + f"exec {program} >/dev/null"
    output_of("systemd-run", "--quiet", "--collect", f"--unit={name}", "-p", f"KillMode={kill_mode}", "/bin/sh", "-c", script)
    try:
        main_pid = int(output_of("systemctl", "show", "-P", "MainPID", name))
        pids = wait_until(lambda: _running(program, cgroup_dir_of(name), loops), f"{loops} times {program} in {name}")
        yield Unit(name, (main_pid, *(pid for pid in pids if pid != main_pid)))
    finally:
        # One that a test has stopped is forgotten by now (--collect).
        subprocess.run(["systemctl", "stop", "--quiet", name], check=False, stderr=subprocess.DEVNULL)


@contextmanager
def a_victim(*, loops: int = LOOPS_THAT_FILL_THE_MACHINE) -> Iterator[Unit]:
    """Run a service that wants every CPU, so that it stands in a run queue as soon as anybody else runs."""
    with a_unit(VICTIM, name="answer.service", loops=loops) as victim:
        yield victim


def pids_in(cgroup: Path) -> list[int]:
    """The processes of one cgroup, without those of its children."""
    return [int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()]


def _running(program: Path, cgroup: Path, count: int) -> list[int] | None:
    if cgroup == ROOT:  # systemd names no cgroup before the unit has one
        return None
    pids = [pid for pid in pids_in(cgroup) if exe_of(pid) == str(program)]
    return pids if len(pids) == count else None
