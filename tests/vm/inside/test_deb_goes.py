"""Upgrade, downgrade, reboot, removal and purge, each while a limit stands: nothing of ours outlives us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.inside import deb, reboot
from vm.inside.cgroups import cgroup_values
from vm.inside.hogs import Hog, a_hog, assert_restored
from vm.inside.systemd import property_of
from vm.inside.traces import traces
from vm.inside.units import HOG
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from pathlib import Path

LOCAL_DECISIONS = ("list", "--json", "--limit", "500")


def _decided() -> int:
    return len(output_of(deb.COMMAND, *LOCAL_DECISIONS).splitlines())


def _wait_for_the_next(old: int) -> None:
    wait_until(lambda: deb.main_pid(deb.DAEMON) not in (0, old) and deb.active(deb.DAEMON), "the next daemon", within_s=deb.START_S)


@pytest.mark.usefixtures("package")
def test_deb_upgrade_and_downgrade_keep_what_is_the_operators(tmp_path: Path) -> None:
    """Edited files and decisions stay; the old daemon watches until its files are there anew; going back is said."""
    newer, offered = deb.another_version("99.0", tmp_path), deb.CONFIG_FILE.with_name(f"{deb.CONFIG_FILE.name}.dpkg-dist")
    deb.forget_all()
    with a_hog("unit", loops=1) as hog:
        values = cgroup_values()
        deb.CONFIG_FILE.write_text(deb.CONFIG_FILE.read_text() + "# mine\n")
        deb.configure_to_enforce()
        deb.wait_for_the_limit(hog)
        decided, old = _decided(), deb.main_pid(deb.DAEMON)

        with hog.held():
            deb.dpkg("--unpack", str(newer))
            assert (deb.main_pid(deb.DAEMON), deb.active(deb.DAEMON)) == (old, True)
            assert hog.quota_pct is not None
            deb.dpkg("--configure", deb.PACKAGE)
            _wait_for_the_next(old)
        assert deb.status()["version"] == "99.0"
        assert offered.read_text().endswith("# as of 99.0\n")
        assert _decided() >= decided > 0
        deb.wait_for_the_limit(hog)
        decided, old = _decided(), deb.main_pid(deb.DAEMON)

        with hog.held():
            said = deb.dpkg("--force-downgrade", "-i", str(deb.the_deb()))
            _wait_for_the_next(old)

        assert "going back from 99.0" in said
        assert _decided() >= decided
        assert deb.CONFIG_FILE.read_text().endswith("# mine\n")
        deb.wait_for_the_limit(hog)
        output_of("systemctl", "stop", deb.DAEMON)
        assert_restored(hog, values)
    output_of("systemctl", "start", deb.DAEMON)


def test_deb_is_left_with_a_limit_that_stands_for_a_reboot(package: deb.Installed) -> None:
    """The first half: enforcing, with a limit on a unit that runs until the machine goes down."""
    deb.forget_all()
    deb.configure_to_enforce()
    output_of("systemd-run", "--quiet", "--unit=batch-index.service", "/bin/sh", "-c", f"exec {HOG} >/dev/null")

    deb.wait_for_the_limit(Hog((int(property_of("batch-index.service", "MainPID")),)))

    reboot.want_reboot(traces=sorted(package.before), decisions=_decided())


@pytest.mark.after_reboot
@pytest.mark.usefixtures("package")
def test_deb_comes_back_after_a_reboot_in_order_and_without_a_limit() -> None:
    """Both services by themselves, daemon after D-Bus's socket and before the gateway, with all that was known; no drop-in left."""
    wait_until(lambda: deb.active(deb.DAEMON) and deb.connected(), "both services", within_s=deb.START_S, every_s=1)

    started = {unit: int(property_of(unit, "ActiveEnterTimestampMonotonic")) for unit in ("dbus.socket", deb.DAEMON, deb.GATEWAY)}
    assert started["dbus.socket"] <= started[deb.DAEMON] <= started[deb.GATEWAY]
    assert property_of(deb.DAEMON, "NRestarts") == property_of(deb.GATEWAY, "NRestarts") == "0"
    assert deb.status()["mode"] == "enforce"
    assert _decided() >= reboot.kept()["decisions"]
    assert output_of(deb.COMMAND, "list", "--active", "--json") == ""


@pytest.mark.after_reboot
def test_deb_goes_without_a_trace_while_a_limit_stands(package: deb.Installed) -> None:
    """Removal takes the limit and all but files and group; the purge takes these: no unit, BPF program, map, account or cgroup."""
    deb.forget_all()
    deb.configure_to_enforce()
    with a_hog("unit", loops=1) as hog:
        values = cgroup_values()
        deb.wait_for_the_limit(hog)

        with hog.held():
            deb.dpkg("--remove", deb.PACKAGE)

        assert_restored(hog, values)
        assert {trace for trace in _left(package) if not trace.startswith(("file ", "group "))} == set()
        assert deb.LOCAL_CONFIG.exists()

        deb.dpkg("--purge", deb.PACKAGE)
    assert _left(package) == set()


# Against a host that never had it. What systemd keeps of its own, below /run and on disk, is of this boot.
def _left(package: deb.Installed) -> set[str]:
    new = traces() - package.before
    return {trace for trace in new if "brainkernel" in trace or not trace.startswith(("file /run/", "file /var/lib/systemd/"))}
