"""The installed package: two services that run, say what they do, and are as closed as their units promise."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from vm.inside import deb
from vm.inside.agent import NICE, STATE_DIR
from vm.inside.cgroups import cgroup_values, changes
from vm.inside.hogs import a_hog, a_hurting_hog, assert_restored
from vm.inside.systemd import property_of
from vm.inside.waiting import output_of, wait_until

AUTOPKGTEST = Path("/payload/packaging/deb/debian/tests/installed")
EXPOSURE_MAX = {deb.DAEMON: 4.0, deb.GATEWAY: 1.5}
RECOVERED_WITHIN_S = 240.0  # the watchdog's 30 s, and a start under emulation
pytestmark = pytest.mark.usefixtures("package")


@pytest.fixture
def _enforcing() -> None:
    deb.forget_all()
    deb.configure_to_enforce()


def test_deb_observes_after_installation_and_says_how_to_go_on() -> None:
    """In `systemctl status`, `brainkernel status` and the journal; on the host nothing changes while somebody hurts."""
    with a_hurting_hog("unit", loops=1) as hog:
        before = cgroup_values()

        wait_until(lambda: deb.status()["counts"]["decisions"].get("limit"), "a limit that it would set", within_s=deb.START_S, every_s=1)

        assert changes(before, cgroup_values()) == {}
        assert hog.quota_pct is None
    assert "observe: shows what it would do, writes nothing" in output_of(deb.COMMAND, "status")
    assert "observing, nothing is changed" in property_of(deb.DAEMON, "StatusText")
    assert "systemctl reload brainkernel" in deb.journal()


def test_deb_units_are_closed_as_promised() -> None:
    """At most 4.0 for the daemon and 1.5 for the gateway, as `systemd-analyze security` counts."""
    exposure = {unit: deb.exposure_of(unit) for unit in (deb.DAEMON, deb.GATEWAY)}

    assert {unit: exposure[unit] <= most for unit, most in EXPOSURE_MAX.items()} == dict.fromkeys(EXPOSURE_MAX, True), exposure


def test_deb_daemon_comes_before_those_that_overload_the_host() -> None:
    """Its nice value is its session's as well: while no cgroup weighs services, the kernel weighs sessions."""
    pid = deb.main_pid(deb.DAEMON)

    assert os.getpriority(os.PRIO_PROCESS, pid) == NICE
    assert Path(f"/proc/{pid}/autogroup").read_text().split()[1:] == ["nice", str(NICE)]


def test_deb_gateway_has_the_daemon_and_no_right() -> None:
    """It is known by the name of its dynamic user, serves the daemon's figures, and holds no capability."""
    wait_until(deb.connected, "the gateway's link", within_s=deb.START_S, every_s=1)

    lines = Path(f"/proc/{deb.main_pid(deb.GATEWAY)}/status").read_text().splitlines()
    status = dict(line.split(":\t") for line in lines)
    assert {status[kind] for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert "0" not in status["Uid"].split()
    assert "brainkernel_kernel_events_total" in deb.metrics()


def test_deb_services_are_no_news_to_themselves(tmp_path: Path) -> None:
    """The gateway is systemd's child, not the daemon's; another one that starts is no program to judge, as any other is."""
    output_of("systemctl", "restart", deb.GATEWAY)
    wait_until(deb.connected, "the gateway's link", within_s=deb.START_S, every_s=1)
    with deb.a_newcomer(tmp_path / "later") as later:
        wait_until(lambda: deb.decisions_about(later), "a decision about what started after it", within_s=deb.START_S, every_s=1)

    assert deb.decisions_about(deb.main_pid(deb.GATEWAY)) == []


def test_deb_group_may_look_and_not_change() -> None:
    """A member of the group brainkernel reads; others get nothing, and changes need root."""

    def ask(command: str, group: str) -> int:
        words = ["setpriv", "--reuid=alice", f"--regid={group}", "--clear-groups", deb.COMMAND, command]
        return subprocess.run(words, capture_output=True, check=False).returncode

    assert ask("status", "brainkernel") == 0
    assert ask("pause", "brainkernel") == 3
    assert ask("status", "alice") == 3


def test_deb_doctor_finds_nothing_that_fails() -> None:
    """On a host where all is there; each warning has its remedy."""
    done = subprocess.run([deb.COMMAND, "doctor"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_deb_journal_may_be_rotated_and_cut() -> None:
    """What it says goes to the journal alone, so rotating that is all there is to do; it goes on saying."""
    output_of("journalctl", "--rotate", "--vacuum-size=1M")
    output_of("systemctl", "reload", deb.DAEMON)

    wait_until(lambda: "configuration and rules read again" in deb.journal(), "a line after the rotation", within_s=deb.START_S)
    assert not list(Path("/var/log").glob("brainkernel*"))


def test_deb_daemon_says_what_to_do_with_a_newer_versions_database() -> None:
    """After a downgrade: it ends once, with words in the journal, does not try again, and has harmed nothing."""
    output_of("systemctl", "stop", deb.DAEMON)
    for file in STATE_DIR.glob("state.db*"):
        file.unlink()
    with closing(sqlite3.connect(STATE_DIR / "state.db")) as newer:
        newer.executescript("CREATE TABLE later (x); PRAGMA user_version = 999")

    refused = subprocess.run(["systemctl", "start", deb.DAEMON], check=False, capture_output=True)

    assert refused.returncode != 0
    assert property_of(deb.DAEMON, "ActiveState") == "failed"
    wait_until(lambda: "schema version 999" in deb.journal() and "move the file away" in deb.journal(), "what to do, in the journal")
    with closing(sqlite3.connect(STATE_DIR / "state.db")) as newer:
        assert newer.execute("SELECT count(*) FROM later").fetchone() == (0,)


@pytest.mark.usefixtures("_enforcing")
def test_deb_enforces_by_reload_and_refuses_what_is_not_valid() -> None:
    """A wrong line is named and changes nothing; going back to observe takes back what stands."""
    with a_hog("unit", loops=1) as hog:
        before = cgroup_values()
        deb.wait_for_the_limit(hog)
        valid = deb.LOCAL_CONFIG.read_text()

        deb.LOCAL_CONFIG.write_text('[agent]\nmode = "often"\n')
        refused = subprocess.run(["systemctl", "reload", deb.DAEMON], capture_output=True, check=False)

        assert refused.returncode != 0
        wait_until(lambda: f"{deb.LOCAL_CONFIG}:2: agent.mode" in deb.journal(), "the line that is wrong")
        assert deb.status()["mode"] == "enforce"

        deb.LOCAL_CONFIG.write_text(valid.replace('mode = "enforce"', 'mode = "observe"'))
        output_of("systemctl", "reload", deb.DAEMON)

        assert_restored(hog, before)


@pytest.mark.usefixtures("_enforcing")
def test_deb_daemon_survives_a_clock_that_jumps_and_is_restarted_when_it_hangs() -> None:
    """One limit through all of it: a clock set by hours does not end it, and the watchdog's restart does."""
    with a_hog("unit", loops=1) as hog:
        deb.wait_for_the_limit(hog)
        pid = deb.main_pid(deb.DAEMON)

        _jump_the_clock(3600)
        _jump_the_clock(-7200)
        _jump_the_clock(3600)

        assert (deb.main_pid(deb.DAEMON), deb.status()["mode"]) == (pid, "enforce")
        assert hog.quota_pct is not None

        os.kill(pid, signal.SIGSTOP)

        wait_until(lambda: hog.quota_pct is None, "the release of the hog", within_s=RECOVERED_WITHIN_S)
        wait_until(lambda: deb.main_pid(deb.DAEMON) not in (0, pid) and deb.active(deb.DAEMON), "a new daemon", within_s=RECOVERED_WITHIN_S)
    assert int(property_of(deb.DAEMON, "NRestarts")) >= 1
    wait_until(lambda: "atchdog timeout" in deb.journal(), "what systemd says of it")


@pytest.mark.usefixtures("_enforcing")
def test_deb_either_half_that_is_killed_leaves_the_other_well() -> None:
    """The gateway goes without the daemon noticing more than that; the daemon goes with its limits, and the gateway finds the next."""
    wait_until(deb.connected, "the gateway's link", within_s=deb.START_S, every_s=1)
    with a_hog("unit", loops=1) as hog:
        deb.wait_for_the_limit(hog)
        daemon, gateway = deb.main_pid(deb.DAEMON), deb.main_pid(deb.GATEWAY)

        os.kill(gateway, signal.SIGKILL)

        wait_until(lambda: deb.main_pid(deb.GATEWAY) not in (0, gateway), "a new gateway", within_s=RECOVERED_WITHIN_S)
        wait_until(deb.connected, "its link", within_s=RECOVERED_WITHIN_S, every_s=1)
        assert deb.main_pid(deb.DAEMON) == daemon
        assert hog.quota_pct is not None

        gateway = deb.main_pid(deb.GATEWAY)
        os.kill(daemon, signal.SIGKILL)

        wait_until(lambda: hog.quota_pct is None, "the release of the hog", within_s=RECOVERED_WITHIN_S)
    wait_until(lambda: deb.active(deb.DAEMON) and deb.connected(), "daemon and link again", within_s=RECOVERED_WITHIN_S, every_s=1)
    assert deb.main_pid(deb.GATEWAY) == gateway


def test_deb_autopkgtest_of_the_packaging_passes() -> None:
    """What others run on machines of theirs, as they would."""
    deb.forget_all()

    done = subprocess.run(["sh", AUTOPKGTEST], capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def _jump_the_clock(seconds: int) -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
    time.sleep(2)  # two turns of the daemon's work in the other time
