"""The drop-ins for hosts on which the core loader cannot work: each lets its loader, and the service stays as closed as it was."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vm.inside import deb
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED = Path("/usr/share/brainkernel/loaders")
ENABLED = Path("/etc/systemd/system/brainkernel.service.d")
PATIENCE = Path("/run/systemd/system/brainkernel.service.d/50-test.conf")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
PROGRAM = Path("/usr/local/bin/seen-by-it")
EXPOSURE_MAX = 4.0  # as without a drop-in
pytestmark = pytest.mark.usefixtures("package")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    deb.forget_all()
    # bcc compiles: seconds on a host, under emulation beside others more than systemd's 90.
    PATIENCE.parent.mkdir(parents=True)
    PATIENCE.write_text(f"[Service]\nTimeoutStartSec={2 * deb.START_S:g}\n")
    debians = PARANOID.read_text()
    yield
    PARANOID.write_text(debians)
    for folder in (ENABLED, PATIENCE.parent):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("loader", ["netlink", "bcc"])
def test_deb_drop_in_lets_a_loader_see(loader: str) -> None:
    """Refused without it; with it, as the guide says, a program that starts is seen, and the unit is as closed as promised."""
    deb.LOCAL_CONFIG.write_text(f'[agent]\nloader = "{loader}"\n')

    assert not starts()
    if loader == "bcc":
        PARANOID.write_text("2")
    output_of("install", "-D", "-m", "644", "-t", str(ENABLED), str(SHIPPED / f"{loader}.conf"))
    assert starts(), deb.journal()[-4000:]
    assert deb.status()["loader"] == loader
    assert deb.exposure_of(deb.DAEMON) <= EXPOSURE_MAX
    with deb.a_newcomer(PROGRAM) as pid:
        decision, *_ = wait_until(lambda: deb.decisions_about(pid), "a decision about it", within_s=deb.START_S, every_s=1)
    assert decision["exe"] == str(PROGRAM)


def starts() -> bool:
    """Whether the daemon comes up with the configuration and the drop-ins as they are."""
    output_of("systemctl", "daemon-reload")
    subprocess.run(["systemctl", "reset-failed", deb.DAEMON], check=False, capture_output=True)
    subprocess.run(["systemctl", "restart", deb.DAEMON], check=False, capture_output=True)  # it may be refused
    return deb.active(deb.DAEMON)
