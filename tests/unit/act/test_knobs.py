"""What the host does not honour is left out and said; what would do harm is not set, or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.act.knobs import IoWeight, io_weight_on, strains, why_no_memory_high
from brainkernel.act.routes.protocol import Fate
from brainkernel.model import Action, Limit, Refusal, ReleaseResult
from support.act_stage import WEIGHT, Stage
from support.fake_host import write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOG = "/system.slice/hog.service"
IO = Limit(cpu_weight=20, io_weight=30)
MEMORY = Limit(cpu_weight=20, memory_high_bytes=256 << 20)
NO_CONTROLLER = IoWeight(why_not="the manager of its unit has no io controller to hand out")
SWAP = "MemTotal: 8000000 kB\nSwapTotal: 4000000 kB\nSwapFree: {} kB\n"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def disk(stage: Stage, name: str, scheduler: str) -> None:
    write_file(stage.fake.root / f"sys/block/{name}/queue/scheduler", f"{scheduler}\n")


def memory_pressure(stage: Stage, full_pct: float) -> None:
    text = f"some avg10=50.00 avg60=0.00 avg300=0.00 total=1\nfull avg10={full_pct:.2f} avg60=0.00 avg300=0.00 total=1\n"
    write_file(stage.fake.dir_of(HOG) / "memory.pressure", text)


def swap(stage: Stage, free_kb: int = 3_000_000) -> None:
    write_file(stage.fake.root / "proc/meminfo", SWAP.format(free_kb))


def test_an_io_weight_is_set_where_a_disk_honours_it(stage: Stage) -> None:
    """By bfq, and it is said; afterwards neither the value nor the controller remains."""
    disk(stage, "sda", "none mq-deadline [bfq]")
    write_file(stage.fake.root / "cgroup/io.cost.qos", "")

    action = stage.apply(IO)

    assert isinstance(action, Action)
    assert (action.limit, action.notes) == (IO, ("io_weight=30 is heeded by bfq (sda)",))
    assert (stage.fake.dir_of(HOG) / "io.weight").read_text() == "default 30\n"
    assert stage.release() is ReleaseResult.RESTORED
    assert not (stage.fake.dir_of(HOG) / "io.weight").exists()
    assert stage.systemd.dropins() == []


def test_an_io_weight_that_nobody_honours_is_left_out_and_said(stage: Stage) -> None:
    """Setting it would switch a controller on for nothing; the rest of the limit stands."""
    disk(stage, "vda", "[none] mq-deadline")
    disk(stage, "loop0", "[bfq]")  # no disk

    action = stage.apply(IO)

    assert isinstance(action, Action)
    assert action.limit == WEIGHT
    assert action.notes == ("io_weight=30 is left out: only bfq and iocost heed it, and disks are scheduled vda by none",)
    assert stage.unit.limits["IOWeight"] == stage.unit.configured["IOWeight"]


def test_a_step_of_nothing_but_what_cannot_be_had_leaves_the_one_before(stage: Stage) -> None:
    """It is passed over: the refusal is one after which the old step stands."""
    stage.apply(WEIGHT)

    refusal = stage.step(Limit(io_weight=30))

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "no_effect"
    assert stage.unit.limits["CPUWeight"] == 20


@pytest.mark.parametrize(
    ("qos", "controllers", "cgroup", "expected"),
    [
        ("8:0 enable=0 ctrl=auto\n8:16 enable=1 ctrl=auto\n259:0 enable=1\n", "cpu io", HOG, IoWeight("iocost (sdb, 259:0)")),
        ("8:16 enable=0 ctrl=auto\n", "cpu io", HOG, IoWeight("bfq (sdb)")),
        (None, "cpu io", HOG, IoWeight(why_not="the kernel has no io.weight (CONFIG_BLK_CGROUP_IOCOST)")),
        ("8:16 enable=1 ctrl=auto\n", "cpu", HOG, NO_CONTROLLER),
        ("8:16 enable=1 ctrl=auto\n", "cpu io", "/user.slice/user@1000.service/app.slice/x.scope", NO_CONTROLLER),
    ],
    ids=["iocost", "iocost off", "bfq in a kernel without io.weight", "no controller", "a user's manager without it"],
)
def test_who_honours_an_io_weight(stage: Stage, qos: str | None, controllers: str, cgroup: str, expected: IoWeight) -> None:
    """Only bfq and iocost, and only where the unit's manager has the controller."""
    disk(stage, "sdb", "none [bfq]")
    write_file(stage.fake.root / "sys/block/sdb/dev", "8:16\n")
    if qos is not None:
        write_file(stage.fake.root / "cgroup/io.cost.qos", qos)
    write_file(stage.fake.root / "cgroup/cgroup.controllers", controllers)
    write_file(stage.fake.root / "cgroup/user.slice/user@1000.service/cgroup.controllers", "memory pids")

    assert io_weight_on(stage.fake.host, cgroup) == expected


def test_memory_high_stands_with_swap_and_goes_without_a_trace(stage: Stage) -> None:
    """Written by an explicit line of the policy, restored like any other value."""
    swap(stage)
    memory_pressure(stage, 0)

    action = stage.apply(MEMORY)

    assert isinstance(action, Action)
    assert (stage.fake.dir_of(HOG) / "memory.high").read_text() == f"{256 << 20}\n"
    assert stage.enforcer.undo.fate_of(stage.ledger.live[1]) is Fate.STANDS
    assert stage.release() is ReleaseResult.RESTORED
    assert (stage.fake.dir_of(HOG) / "memory.high").read_text() == "max\n"


def test_memory_high_ends_when_the_program_waits_for_memory(stage: Stage) -> None:
    """The guard: full pressure of ten seconds above a tenth. The limiter releases on this fate."""
    swap(stage)
    stage.apply(MEMORY)

    memory_pressure(stage, 12.5)

    assert strains(stage.fake.host.cgroup, HOG)
    assert stage.enforcer.undo.fate_of(stage.ledger.live[1]) is Fate.STRAINS


@pytest.mark.parametrize(
    ("free_kb", "full_pct", "high", "why"),
    [
        (None, 0, "max", "no swap"),
        (500_000, 0, "max", "nearly full"),
        (3_000_000, 25, "max", "waits for memory already"),
        (3_000_000, 0, "1073741824", "somebody else has set it"),
        (3_000_000, 9.9, "max", ""),
    ],
)
def test_memory_high_is_left_out_where_it_would_do_harm(stage: Stage, free_kb: int | None, full_pct: float, high: str, why: str) -> None:
    """Without swap a program below its need never recovers; and an administrator's value is not ours."""
    if free_kb is not None:
        swap(stage, free_kb)
    memory_pressure(stage, full_pct)
    (stage.fake.dir_of(HOG) / "memory.high").write_text(f"{high}\n")

    found = why_no_memory_high(stage.fake.host, HOG, ours=False)

    assert why in found
    assert bool(why) == bool(found)


def test_an_administrators_memory_high_survives_our_limit(stage: Stage) -> None:
    """It is no decision about CPU, so that the unit may be limited; and it is theirs before, amid and after."""
    unit = stage.systemd.add("db.service", MemoryHigh=1 << 30)
    key = stage.fake.spawn(700, "/system.slice/db.service")
    swap(stage)

    action = stage.apply(MEMORY, key=key)

    assert isinstance(action, Action)
    assert action.notes == ("memory_high=256M is left out: somebody else has set it",)
    assert isinstance(stage.step(Limit(cpu_quota_pct=20)), Action)
    assert unit.limits["MemoryHigh"] == 1 << 30
    assert stage.release() is ReleaseResult.RESTORED
    assert unit.limits == unit.configured


def test_a_container_is_limited_only_where_the_operator_lets_us(stage: Stage) -> None:
    """Asked anew for each limit: a configuration that was read again holds at once."""
    name = "docker-0123456789abcdef.scope"
    stage.systemd.add(name, transient=True)
    key = stage.fake.spawn(700, f"/system.slice/{name}")

    refusal = stage.apply(key=key)
    stage.containers_allowed = True
    action = stage.apply(key=key, decision_id=2)

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "container"
    assert isinstance(action, Action)
    assert action.unit == name
