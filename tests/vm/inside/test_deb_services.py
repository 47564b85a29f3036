"""The installed package: two services that run, say what they do, and are as closed as their units promise."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vm.inside import deb
from vm.inside.agent import QUOTA_PCT
from vm.inside.cgroups import cgroup_values, changes
from vm.inside.hogs import a_hurting_hog, assert_restored
from vm.inside.systemd import property_of
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITED_WITHIN_S = 60.0  # what was judged while observing is judged again after a while, not at the reload
EXPOSURE_MAX = {deb.DAEMON: 4.0, deb.GATEWAY: 1.5}
RECOVERED_WITHIN_S = 120.0  # the watchdog's 30 s, and a start under emulation


@pytest.fixture(scope="module", autouse=True)
def _package() -> Iterator[None]:
    with deb.alone(), deb.installed():
        yield


@pytest.fixture(autouse=True)
def _observing() -> Iterator[None]:
    yield
    deb.LOCAL_CONFIG.unlink(missing_ok=True)
    output_of("systemctl", "reset-failed")
    output_of("systemctl", "restart", deb.DAEMON, deb.GATEWAY)
    wait_until(lambda: deb.active(deb.DAEMON) and deb.connected(), "both services again", within_s=RECOVERED_WITHIN_S)


def test_deb_observes_after_installation_and_says_how_to_go_on() -> None:
    """In `systemctl status`, `brainkernel status` and the journal; on the host nothing changes while somebody hurts."""
    with a_hurting_hog("unit") as hog:
        before = cgroup_values()

        wait_until(lambda: deb.status()["counts"]["decisions"].get("limit"), "a limit that it would set", within_s=60, every_s=1)

        assert changes(before, cgroup_values()) == {}
        assert hog.quota_pct is None
    assert deb.status()["mode"] == "observe"
    assert "observing, nothing is changed" in property_of(deb.DAEMON, "StatusText")
    assert "systemctl reload brainkernel" in deb.journal()


def test_deb_units_are_closed_as_promised() -> None:
    """At most 4.0 for the daemon and 1.5 for the gateway, as `systemd-analyze security` counts."""
    exposure = {unit: deb.exposure_of(unit) for unit in (deb.DAEMON, deb.GATEWAY)}

    assert {unit: exposure[unit] <= most for unit, most in EXPOSURE_MAX.items()} == dict.fromkeys(EXPOSURE_MAX, True), exposure


def test_deb_gateway_has_the_daemon_and_no_right() -> None:
    """It is known by the name of its dynamic user, serves the daemon's figures, and holds no capability."""
    wait_until(deb.connected, "the gateway's link", within_s=60, every_s=1)

    lines = Path(f"/proc/{deb.main_pid(deb.GATEWAY)}/status").read_text().splitlines()
    status = dict(line.split(":\t") for line in lines)
    assert {status[kind] for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert "0" not in status["Uid"].split()
    assert "brainkernel_kernel_events_total" in deb.metrics()


def test_deb_group_may_look_and_not_change() -> None:
    """A member of the group brainkernel reads; others get nothing, and changes need root."""

    def ask(command: str, group: str) -> int:
        words = ["setpriv", "--reuid=alice", f"--regid={group}", "--clear-groups", deb.COMMAND, command]
        return subprocess.run(words, capture_output=True, check=False).returncode

    assert ask("status", "brainkernel") == 0
    assert ask("pause", "brainkernel") == 3
    assert ask("status", "alice") == 3


def test_deb_enforces_by_reload_and_refuses_what_is_not_valid() -> None:
    """A wrong line is named and changes nothing; going back to observe takes back what stands."""
    with a_hurting_hog("unit") as hog:
        before = cgroup_values()
        deb.configure_to_enforce()
        wait_until(lambda: hog.quota_pct == pytest.approx(QUOTA_PCT), "a quota on the hog", within_s=LIMITED_WITHIN_S)
        valid = deb.LOCAL_CONFIG.read_text()

        deb.LOCAL_CONFIG.write_text('[agent]\nmode = "often"\n')
        refused = subprocess.run(["systemctl", "reload", deb.DAEMON], capture_output=True, check=False)

        assert refused.returncode != 0
        assert f"{deb.LOCAL_CONFIG}:2: agent.mode" in deb.journal()
        assert deb.status()["mode"] == "enforce"

        deb.LOCAL_CONFIG.write_text(valid.replace('mode = "enforce"', 'mode = "observe"'))
        output_of("systemctl", "reload", deb.DAEMON)

        assert_restored(hog, before)


def test_deb_watchdog_restarts_a_daemon_that_hangs() -> None:
    """A stopped process feeds no watchdog: systemd ends it, takes its limits back and starts another."""
    with a_hurting_hog("unit") as hog:
        deb.configure_to_enforce()
        wait_until(lambda: hog.quota_pct == pytest.approx(QUOTA_PCT), "a quota on the hog", within_s=LIMITED_WITHIN_S)
        pid = deb.main_pid(deb.DAEMON)

        os.kill(pid, signal.SIGSTOP)

        wait_until(lambda: hog.quota_pct is None, "the release of the hog", within_s=RECOVERED_WITHIN_S)
        wait_until(lambda: deb.main_pid(deb.DAEMON) not in (0, pid) and deb.active(deb.DAEMON), "a new daemon", within_s=RECOVERED_WITHIN_S)
    assert int(property_of(deb.DAEMON, "NRestarts")) >= 1
    assert "atchdog timeout" in deb.journal()


def test_deb_daemon_that_is_killed_leaves_no_limit_and_the_gateway_well() -> None:
    """Its service releases what it left, and the gateway finds the next one."""
    wait_until(deb.connected, "the gateway's link", within_s=60, every_s=1)
    gateway = deb.main_pid(deb.GATEWAY)
    with a_hurting_hog("unit") as hog:
        deb.configure_to_enforce()
        wait_until(lambda: hog.quota_pct == pytest.approx(QUOTA_PCT), "a quota on the hog", within_s=LIMITED_WITHIN_S)

        os.kill(deb.main_pid(deb.DAEMON), signal.SIGKILL)

        wait_until(lambda: hog.quota_pct is None, "the release of the hog", within_s=RECOVERED_WITHIN_S)
    wait_until(lambda: deb.active(deb.DAEMON) and deb.connected(), "daemon and link again", within_s=RECOVERED_WITHIN_S, every_s=1)
    assert deb.main_pid(deb.GATEWAY) == gateway


def test_deb_gateway_that_is_killed_leaves_the_daemon_well() -> None:
    """The daemon goes on without it and takes the next one, whatever uid that has."""
    wait_until(deb.connected, "the gateway's link", within_s=60, every_s=1)
    daemon, gateway = deb.main_pid(deb.DAEMON), deb.main_pid(deb.GATEWAY)

    os.kill(gateway, signal.SIGKILL)

    wait_until(
        lambda: deb.main_pid(deb.GATEWAY) not in (0, gateway) and deb.connected(), "a new gateway", within_s=RECOVERED_WITHIN_S, every_s=1
    )
    assert deb.main_pid(deb.DAEMON) == daemon
    assert deb.status()["mode"] == "observe"
