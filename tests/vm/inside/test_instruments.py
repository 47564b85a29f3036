"""The instruments of the other tests: a comparison that sees nothing would make all of them pass."""

from __future__ import annotations

import os
import re

from vm.inside.cgroups import ROOT, cgroup_values, changes, told
from vm.inside.hogs import a_hog
from vm.inside.processes import stat_of
from vm.inside.systemd import NOT_SET, set_properties
from vm.inside.units import HOG, VICTIM, a_unit
from vm.inside.waiting import wait_until


def test_a_system_at_work_shows_no_change() -> None:
    """Counters that run and services that come and go are not settings."""
    with a_unit(VICTIM, name="lasting.service"):
        before = cgroup_values()
        with a_unit(name="passing.service"):
            pass

        assert changes(before, cgroup_values()) == {}


def test_a_changed_setting_of_a_cgroup_shows() -> None:
    """With its old and new value, and None for a file that was not there."""
    with a_unit() as hog:
        before = cgroup_values()
        set_properties(hog.name, CPUQuotaPerSecUSec=300_000)
        seen = wait_until(lambda: changes(before, cgroup_values()), "a change")
        set_properties(hog.name, CPUQuotaPerSecUSec=NOT_SET)

    assert seen[f"/system.slice/{hog.name} cpu.max"] == (None, "30000 100000")
    assert seen["/ cgroup.subtree_control"] == ("memory pids", "cpu memory pids")


def test_a_changed_nice_value_of_a_thread_shows() -> None:
    """The task route touches no cgroup at all."""
    with a_unit() as hog:
        pid = hog.pids[1]
        before = cgroup_values()

        os.setpriority(os.PRIO_PROCESS, pid, 5)
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))

        seen = changes(before, cgroup_values())
        ((before_text, after_text),) = seen.values()
        fields = [dict(re.findall(r"(\w+)=(\S+)", text or "")) for text in (before_text, after_text)]
        assert [(one["nice"], one["policy"], one["cpus"]) for one in fields] == [("0", "0", "3"), ("5", "5", "3")]
        assert stat_of(pid)[38] == "5"
        assert f"({HOG.name}): {before_text!r} before" in told(seen)


def test_a_hog_of_either_place_is_free_at_first() -> None:
    """What the limit tests begin with."""
    for place in ("unit", "session"):
        with a_hog(place) as hog:
            assert hog.quota_pct is None
            assert hog.cgroup.is_relative_to(ROOT / ("system.slice" if place == "unit" else "user.slice"))
