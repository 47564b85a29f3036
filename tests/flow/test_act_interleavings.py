"""Any interleaving of limits, people, crashes and ends of units leaves the original values or somebody else's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from brainkernel.act.systemd import LIMIT_PROPERTIES, NOT_SET
from brainkernel.errors import ActError
from brainkernel.model import Limit
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from support.interleavings import Interrupted

if TYPE_CHECKING:
    import pytest
    from brainkernel.model import ProcessKey

LIMITS = [Limit(cpu_weight=20), Limit(cpu_weight=0), Limit(cpu_quota_pct=20), Limit(cpu_quota_pct=50)]
THEIR_WEIGHT, THEIR_QUOTA = 333, 770_000  # values that we never write
OUR_WEIGHTS, OUR_QUOTAS = ("20", "0"), ("20000 100000", "50000 100000")
UNITS = ("hog.service", "other.service")


class Interleavings(Interrupted):
    """Two services under limits, and everything that happens to them."""

    def __init__(self) -> None:
        super().__init__()
        self.pids = {"hog.service": 500, "other.service": 501}
        self.next_pid = 600
        # What a person set: by unit and property. Nothing else may differ from the unit's own file in the end.
        self.theirs: dict[tuple[str, str], int] = {}
        self.past_systemd: dict[str, str] = {}  # cpu.max written into the cgroup itself

    @initialize()
    def another_service(self) -> None:
        self.stage.systemd.add("other.service")
        self.keys: dict[str, ProcessKey] = {
            "hog.service": self.stage.hog,
            "other.service": self.stage.fake.spawn(501, "/system.slice/other.service"),
        }

    units = st.sampled_from(UNITS)

    @rule(unit=units, limit=st.sampled_from(LIMITS), late=st.integers(0, 2))
    def apply(self, unit: str, limit: Limit, late: int) -> None:
        self.stage.systemd.late = late
        self.stage.apply(limit, self.keys[unit], self.next_id)
        self.next_id += 1

    @precondition(lambda self: self.stage.ledger.live)
    @rule(limit=st.sampled_from(LIMITS), data=st.data())
    def step(self, limit: Limit, data: st.DataObject) -> None:
        action_id = data.draw(st.sampled_from(sorted(self.stage.ledger.live)))
        found = self.stage.enforcer.step(action_id, limit)
        if not hasattr(found, "limit"):
            self.stage.release(action_id)

    @rule(unit=units, name=st.sampled_from(LIMIT_PROPERTIES))
    def a_person_sets_a_property(self, unit: str, name: str) -> None:
        value = THEIR_WEIGHT if name == "CPUWeight" else THEIR_QUOTA
        self.stage.systemd.foreign_set(unit, name, value)
        self.theirs[unit, name] = value
        self.past_systemd.pop(unit, None)  # systemd writes the cgroup again

    @rule(unit=units)
    def somebody_writes_past_systemd(self, unit: str) -> None:
        self.stage.systemd.catch_up()
        file = self.stage.fake.dir_of(f"/system.slice/{unit}") / "cpu.max"
        if file.exists():
            file.write_text("33000 100000\n")
            self.past_systemd[unit] = "33000 100000"

    @rule()
    def daemon_reload(self) -> None:
        self.stage.systemd.daemon_reload()
        self.past_systemd.clear()  # systemd wins over who bypasses it (systemd issue 17938)

    @rule(unit=units)
    def restart(self, unit: str) -> None:
        self.stage.systemd.stop(unit)
        self.stage.systemd.start(unit)
        self.past_systemd.clear()
        self.next_pid += 1
        self.keys[unit] = self.stage.fake.spawn(self.next_pid, f"/system.slice/{unit}")

    @rule(unit=units, forgets=st.booleans())
    def the_unit_stops_and_leaves_its_processes(self, unit: str, forgets: bool) -> None:
        self.stage.systemd.forgets_ended = forgets
        self.stage.systemd.stop_main_process(unit)

    @rule(unit=units)
    def the_target_ends(self, unit: str) -> None:
        key = self.keys[unit]
        if key.tgid in self.stage.fake.cgroup_of:
            self.stage.fake.end(key.tgid)

    @rule(unit=units)
    def the_pid_is_used_again(self, unit: str) -> None:
        tgid = self.keys[unit].tgid
        # Into the cgroup of a unit that ended nobody is born but the children of who lives there.
        if tgid not in self.stage.fake.cgroup_of and self.stage.systemd.units[unit].active:
            self.stage.fake.spawn(tgid, f"/system.slice/{unit}", exe="/usr/bin/innocent")

    @rule(method=st.sampled_from(["unit", "set_limits", "unit_of_cgroup"]), unit=units)
    def the_bus_fails_during_apply(self, method: str, unit: str) -> None:
        def fail(called: str) -> None:
            if called == method:
                msg = "org.freedesktop.DBus.Error.NoReply: busy"
                raise ActError(msg)

        self.stage.systemd.deaf = fail
        self.stage.apply(LIMITS[0], self.keys[unit], self.next_id)
        self.next_id += 1
        self.stage.systemd.deaf = lambda _: None

    @invariant()
    def what_was_written_past_systemd_goes_with_its_file(self) -> None:
        """When nobody needs the controller, the kernel takes the files away, theirs too."""
        for name in UNITS:
            if name in self.stage.systemd.units and "cpu.max" not in self.stage.fake.cpu_files(f"/system.slice/{name}"):
                self.past_systemd.pop(name, None)

    @invariant()
    def what_stands_is_in_the_ledger(self) -> None:
        """A unit without an entry has its own values or a person's."""
        limited = {entry.action.unit for entry in self.stage.ledger.live.values()}
        for name in UNITS:
            if name not in limited and name in self.stage.systemd.units:
                self.assert_not_ours(name)

    @invariant()
    def what_was_written_past_systemd_stays(self) -> None:
        """Until systemd itself writes the cgroup again, at a person's wish or at the agent's end."""
        for name, value in self.past_systemd.items():
            assert self.stage.fake.cpu_files(f"/system.slice/{name}")["cpu.max"] == value

    def recover(self) -> None:
        for entry in self.stage.ledger.live.values():
            self.past_systemd.pop(entry.action.unit, None)
        reloads = self.stage.systemd.reloads
        super().recover()
        if self.stage.systemd.reloads > reloads:
            self.past_systemd.clear()

    def assert_not_ours(self, name: str) -> None:
        unit = self.stage.systemd.units[name]
        for key in LIMIT_PROPERTIES:
            assert unit.limits[key] == self.theirs.get((name, key), NOT_SET), f"{name} {key}"
        if not unit.active and f"/system.slice/{name}" in self.stage.fake.cgroup_of.values():  # systemd writes there no more
            files = self.stage.fake.cpu_files(f"/system.slice/{name}")
            assert files.get("cpu.max") not in OUR_QUOTAS, files
            assert files.get("cpu.weight") not in OUR_WEIGHTS, files

    def teardown(self) -> None:
        self.recover()
        assert self.stage.ledger.live == {}
        for _ in range(2):  # as it is, and as it is after a reload: nothing of ours may come back
            for name in UNITS:
                self.assert_not_ours(name)
            self.daemon_reload()
        super().teardown()


def test_any_interleaving_ends_with_the_original_values_or_foreign_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis looks for a sequence after which a value of ours remains, now or after a daemon-reload."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    run_state_machine_as_test(
        Interleavings,
        settings=settings(max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)),
    )
