from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.clock import SystemClock
from brainkernel.enrich.table import ProcessTable
from brainkernel.healing import Healing
from brainkernel.metrics import PROCESSES_HEALED, Figures
from brainkernel.model import Exec
from brainkernel.own import Own
from brainkernel.sense.snapshot import read_process, read_running
from support.kernel import Witness, wait_until
from support.loaders import closed, open_witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from brainkernel.model import ProcessEvent

PROC = Path("/proc")


@pytest.fixture(params=["core", "bcc", "netlink"])
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    """A loader with so small a buffer that a few programs fill it."""
    with open_witness(request.param) as observe:
        if request.param == "core":
            yield observe(ring_bytes=os.sysconf("SC_PAGE_SIZE"))
        elif request.param == "bcc":
            monkeypatch.setattr("brainkernel.sense.bcc._RING_PAGES", 1)
            yield observe()
        else:
            witness = observe()
            with socket.socket(fileno=os.dup(witness.loader.fileno())) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            yield witness


def overflow(witness: Witness, program: Path) -> int:
    """Start programs and look only now and then until a buffer was full; how many records were lost then."""

    def lost() -> int:
        for _ in range(50):
            os.waitpid(os.posix_spawn(program, [str(program), "x" * 1000], {}), 0)
        witness.drain()
        return witness.loader.counters().failures.get("ring_full", 0)

    return wait_until("a full buffer", lost)


def test_overflow_is_counted_exactly(watch: Callable[..., Witness], program: Path) -> None:
    """Every exec is either received or counted as lost: none in both, none in neither."""
    witness = watch(ring_bytes=os.sysconf("SC_PAGE_SIZE"))
    overflow(witness, program)
    before = witness.loader.counters()

    for _ in range(100):
        os.waitpid(os.posix_spawn(program, [str(program), "y" * 1000], {}), 0)
    full = witness.loader.counters()
    after = closed(witness)

    assert full.exec.failed - before.exec.failed >= 95  # the ring holds three of them
    kept_back = after.exec.own + after.exec.known + after.exec.suppressed
    assert after.exec.seen == kept_back + after.received["exec"] + after.exec.failed
    assert after.lost == after.failures.get("ring_full", 0)


def test_overflow_heals_without_a_restart(narrow: Witness, program: Path, missed: Path) -> None:
    """A program that began while records were lost goes through the stages after all, and the table is whole again."""
    witness = narrow
    table, figures, handled = table_of_now(), Figures(), list[Exec]()

    def handle(event: ProcessEvent) -> None:
        assert isinstance(event, Exec)
        table.on_exec(event)
        handled.append(event)

    healing = a_healing(witness, table, figures, handle)
    overflow(witness, program)
    subprocess.run(["setsid", "--fork", missed, "30"], check=True)  # no child of ours: the agent does not look at its own
    sleeper = wait_until("the sleeper", lambda: [p for p in PROC.glob("[0-9]*") if is_running(p, str(missed))])[0]
    lost = witness.loader.counters().lost

    try:
        healing.tick()
        wait_until("all of them", lambda: stepped(healing))
    finally:
        os.kill(int(sleeper.name), 9)

    found = [e for e in handled if e.exe == str(missed)]
    assert [e.argv for e in found] == [(str(missed), "30")]
    assert table.get(found[0].key) is not None
    assert figures.value(PROCESSES_HEALED) == len(handled)
    assert os.getpid() not in {e.key.tgid for e in handled}
    assert closed(witness).lost >= lost


def test_healing_happens_once_per_loss(narrow: Witness, program: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says how many were lost, once."""
    caplog.set_level(logging.WARNING)
    witness = narrow
    healing = a_healing(witness, table_of_now(), Figures(), lambda _: None)
    overflow(witness, program)
    closed(witness)
    lost = witness.loader.counters().failures.get("ring_full", 0)

    healing.tick()
    if witness.loader.counters().failures.get("ring_full", 0) == lost:
        healing.tick()

    assert caplog.text.count(f"{lost} records were lost") == 1


def table_of_now() -> ProcessTable:
    """Everybody who runs, as the agent notes them at its start."""
    table = ProcessTable()
    for event in read_running(PROC):
        table.on_exec(event)
    return table


def a_healing(witness: Witness, table: ProcessTable, figures: Figures, handle: Callable[[ProcessEvent], None]) -> Healing:
    return Healing(
        loader=witness.loader,
        table=table,
        clock=SystemClock(),
        figures=figures,
        read=lambda key: read_process(PROC, key),
        handle=handle,
        own=Own(os.getpid()),
    )


@pytest.fixture
def missed(public_dir: Path) -> Path:
    """A program whose start nobody is told of."""
    return Path(shutil.copy("/bin/sleep", public_dir / "missed"))


def test_no_loss_costs_no_snapshot(watch: Callable[..., Witness], program: Path) -> None:
    """As long as the books are clean nobody is looked up."""
    witness = watch()
    table, figures = ProcessTable(), Figures()

    def never(_: object) -> None:
        raise AssertionError

    healing = Healing(
        loader=witness.loader, table=table, clock=SystemClock(), figures=figures, read=never, handle=never, own=Own(os.getpid())
    )
    os.waitpid(os.posix_spawn(program, [str(program)], {}), 0)
    healing.tick()
    healing.step()

    assert not healing.busy


def stepped(healing: Healing) -> bool:
    """Take one step; whether it was the last one."""
    healing.step()
    return not healing.busy


def is_running(process: Path, exe: str) -> bool:
    """Whether this folder of /proc is a process that runs this file."""
    try:
        return str((process / "exe").readlink()) == exe
    except OSError:
        return False
