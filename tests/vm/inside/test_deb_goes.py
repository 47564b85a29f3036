"""Upgrade, downgrade, removal and purge, each while a limit stands: nothing of ours outlives us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.inside import deb
from vm.inside.agent import CONFIG_DIR, QUOTA_PCT
from vm.inside.cgroups import cgroup_values
from vm.inside.hogs import Hog, a_hog, assert_restored
from vm.inside.traces import traces
from vm.inside.units import a_victim
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMITED_WITHIN_S = 60.0  # after an upgrade: the start of the new one included


@pytest.fixture(scope="module", autouse=True)
def _no_checkout() -> Iterator[None]:
    with deb.alone():
        yield


# The victim is there no longer than it takes: dpkg would stand in the run queue beside it for minutes, under emulation.
def _wait_for_the_limit(hog: Hog) -> None:
    with a_victim():
        wait_until(lambda: hog.quota_pct == pytest.approx(QUOTA_PCT), "a quota on the hog", within_s=LIMITED_WITHIN_S)


@pytest.mark.parametrize("last", ["--remove", "--purge"])
def test_deb_goes_without_a_trace_while_a_limit_stands(last: str) -> None:
    """Values as before; after a purge no file, account, unit, BPF program, map or cgroup that was not there before."""
    before = traces()
    with deb.installed(), a_hog("unit") as hog:
        values = cgroup_values()
        deb.configure_to_enforce()
        _wait_for_the_limit(hog)

        deb.dpkg(last, deb.PACKAGE)

        assert_restored(hog, values)
        if last == "--remove":
            left = traces() - before
            assert {trace for trace in left if not trace.startswith(("file ", "group "))} == set()
            assert deb.LOCAL_CONFIG.exists()
            deb.dpkg("--purge", deb.PACKAGE)
    assert traces() - before == set()


def test_deb_upgrade_and_downgrade_keep_what_is_the_operators(tmp_path: Path) -> None:
    """Edited files and the decisions stay, both versions limit, and going back is said."""
    newer = deb.another_version("99.0", tmp_path)
    with deb.installed(), a_hog("unit") as hog:
        values = cgroup_values()
        edited = CONFIG_DIR / "brainkernel.toml"
        edited.write_text(edited.read_text() + "# mine\n")
        deb.configure_to_enforce()
        _wait_for_the_limit(hog)
        decided = output_of(deb.COMMAND, "list", "--json").splitlines()

        deb.dpkg("-i", str(newer))

        wait_until(lambda: deb.active(deb.DAEMON), "the new daemon", within_s=deb.START_S)
        assert deb.status()["version"] == "99.0"
        assert edited.read_text().endswith("# mine\n")
        assert len(output_of(deb.COMMAND, "list", "--json", "--limit", "500").splitlines()) >= len(decided) > 0
        _wait_for_the_limit(hog)

        said = deb.dpkg("--force-downgrade", "-i", str(deb.the_deb()))

        assert "going back from 99.0" in said
        wait_until(lambda: deb.active(deb.DAEMON), "the old daemon", within_s=deb.START_S)
        _wait_for_the_limit(hog)
        output_of("systemctl", "stop", deb.DAEMON)
        assert_restored(hog, values)
