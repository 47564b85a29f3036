from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from brainkernel.sense.pressure import PressureTrigger, read_cpu_some_us
from support.kernel import refuse

PROC = Path("/proc")


def test_trigger_fires_when_somebody_waits_for_a_cpu() -> None:
    """The kernel tells, nobody polls: two loops on one CPU are reported within a window or two."""
    trigger = PressureTrigger.open(PROC / "pressure/cpu", stall_us=100_000)
    before_us = read_cpu_some_us(PROC)
    if trigger is None or before_us is None:
        refuse("no PSI triggers here; needs CONFIG_PSI and root")
    cpu = min(os.sched_getaffinity(0))
    loop = f"import os\nos.sched_setaffinity(0, [{cpu}])\nwhile True: pass"

    with subprocess.Popen([sys.executable, "-c", loop]) as one, subprocess.Popen([sys.executable, "-c", loop]) as other:
        try:
            with select.epoll() as epoll:
                epoll.register(trigger, select.EPOLLPRI)
                fired = epoll.poll(20)
        finally:
            one.kill()
            other.kill()
            trigger.close()
            trigger.close()

    assert [event & select.EPOLLPRI for _, event in fired] == [select.EPOLLPRI]
    # The file's total is brought up to date every two seconds only, the trigger's at once (psi_show(), kernel/sched/psi.c).
    deadline_s = time.monotonic() + 20
    while (after_us := read_cpu_some_us(PROC)) is not None and after_us - before_us < 100_000 and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert after_us is not None
    assert after_us - before_us >= 100_000
