"""A build is one target, whatever becomes of its compilers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from brainkernel.learn.experience import Experience
from brainkernel.observe.window import Snapshot, TaskUse
from support.nouns import SECOND_NS, a_suspect, a_task
from support.watched import HOG, VICTIM, Host, a_watch

if TYPE_CHECKING:
    from brainkernel.model import Suspect


@dataclass
class Building(Host):
    """A login in which make runs compilers that live for two seconds each, beside the victim; `runs` is who is above make."""

    above: str = "bash"

    def snapshot(self) -> Snapshot:
        self.snapshots += 1
        number = 1000 + int(self.clock.boot_ns() // (2 * SECOND_NS))
        born_s = float(2 * (number - 1000))
        used_s = min(1.9, self.clock.boot_ns() / SECOND_NS - born_s + 0.9)
        tasks = (
            a_task(50, self.above, cgroup_id=7),
            a_task(HOG, "make", ppid=50, cgroup_id=7),
            a_task(101, "sh", ppid=HOG, cgroup_id=7),
            a_task(102, "gcc", ppid=101, cgroup_id=7),
            a_task(number, "cc1", ppid=102, cpu_s=used_s, cgroup_id=7),
            a_task(VICTIM, "mysqld", wait_s=self.victim_wait_s, cgroup_id=8),
        )
        return Snapshot(
            time_ns=self.clock.boot_ns(), tasks={t.key: t for t in tasks}, pressure_total_us=int(self.pressure_s * 1e6), run_queue=None
        )

    def suspect_of(self, use: TaskUse) -> Suspect | None:
        return a_suspect(f"/usr/bin/{use.comm}", key=use.key)


@pytest.mark.parametrize("above", ["bash", "sshd", "systemd"])
def test_a_build_is_one_target_whatever_becomes_of_its_compilers(above: str) -> None:
    """The limit goes to make, through the shells of its recipes and past none above it; no compiler is a target of its own."""
    host = Building(above=above)
    names = {50: above, HOG: "make", 101: "sh", 102: "gcc", VICTIM: "mysqld"}
    watch = a_watch(host, Experience(), exe_of=lambda key: f"/usr/bin/{names.get(key.tgid, 'cc1')}")

    host.pass_seconds(watch, 10, hurting=True)

    assert [decision.suspect.program.exe for decision in host.decided] == ["/usr/bin/make"]
    assert host.decided[0].symptom is not None
    assert host.decided[0].symptom.victims[0].comm == "mysqld"


@dataclass
class QuickBuilding(Building):
    """The same, but no compiler is ever seen: each ends between two snapshots."""

    waits: str = "make"  # who waits for them

    def snapshot(self) -> Snapshot:
        seen = super().snapshot()
        tasks = {key: task for key, task in seen.tasks.items() if task.comm not in ("sh", "gcc", "cc1")}
        busy = next(task for task in tasks.values() if task.comm == self.waits)
        tasks[busy.key] = msgspec.structs.replace(busy, reaped_ns=int(self.hog_cpu_s * SECOND_NS))
        return replace(seen, tasks=tasks)


@pytest.mark.parametrize(("waits", "targets"), [("make", ["/usr/bin/make"]), ("bash", [])])
def test_a_build_of_compilers_too_quick_to_be_seen_is_found_by_what_make_waited_for(waits: str, targets: list[str]) -> None:
    """And a shell is not held to account for the commands that were typed into it."""
    host = QuickBuilding(waits=waits)
    names = {50: "bash", HOG: "make", VICTIM: "mysqld"}
    watch = a_watch(host, Experience(), exe_of=lambda key: f"/usr/bin/{names[key.tgid]}")

    host.pass_seconds(watch, 6, hurting=True)

    assert [decision.suspect.program.exe for decision in host.decided] == targets
