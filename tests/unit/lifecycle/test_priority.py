"""The nice value of a service counts against other services, and a person's shell gets none of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.kernel import refuse

PROC = Path("/proc")
AS_A_PROGRAM = """
from pathlib import Path
from brainkernel.priority import share_nice_with_session
print(share_nice_with_session(Path("/proc")), *Path("/proc/self/autogroup").read_text().split()[1:])
"""


@pytest.fixture(autouse=True)
def kernel_with_sessions() -> None:
    if not (PROC / "self/autogroup").exists():
        refuse("the kernel weighs no sessions; boot one with CONFIG_SCHED_AUTOGROUP")


def told_by_a_program(nice: int, *around: str, leads: bool = True) -> subprocess.CompletedProcess[str]:
    """What it returns and what the kernel says of its session, in a program with this nice value, started by `around`."""
    adjustment = nice - os.getpriority(os.PRIO_PROCESS, 0)
    command = ["nice", f"--adjustment={adjustment}", *around, sys.executable, "-c", AS_A_PROGRAM]
    # Either way the session is a new one, not that of the tests.
    shell = ["sh", "-c", '"$@"; true', "sh", *command]
    return subprocess.run(command if leads else shell, check=True, capture_output=True, text=True, start_new_session=True)


def test_session_of_a_service_gets_the_nice_value_of_its_leader() -> None:
    """The kernel shows it."""
    assert told_by_a_program(-5).stdout == "-5 nice -5\n"


@pytest.mark.parametrize(("nice", "leads"), [(-5, False), (0, True), (5, True)])
def test_session_that_is_somebody_elses_or_is_not_raised_stays_as_it_is(nice: int, *, leads: bool) -> None:
    """A shell that starts the agent keeps its weight; a person who lowers the agent lowers no more than it."""
    assert told_by_a_program(nice, leads=leads).stdout == "None nice 0\n"


def test_session_that_may_not_be_raised_is_told_and_the_agent_goes_on() -> None:
    """A sandbox without the right is no reason not to start."""
    done = told_by_a_program(-5, "setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice")

    assert done.stdout == "None nice 0\n"
    assert "keeps the nice value 0 instead of -5: Operation not permitted" in done.stderr
