from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.model import Exec, Exit
from support.kernel import Witness, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.sense.loader import KernelCounters

_STORM = 3000


def spawn(program: Path, times: int, *args: str) -> None:
    """Start a program again and again, one after the other."""
    for _ in range(times):
        os.waitpid(os.posix_spawn(program, [str(program), *args], {}), 0)


def closed_books(witness: Witness) -> KernelCounters:
    """Wait until all sums hold: others on this host may be in the middle of an event."""

    def closed() -> KernelCounters | None:
        witness.drain()
        counters = witness.loader.counters()
        return None if counters.mismatches() else counters

    return wait_until("closed books", closed)


def test_books_close_after_a_storm(watch: Callable[..., Witness], program: Path) -> None:
    """Of thousands of short-lived programs every one is received, with its exit and its fork."""
    witness = watch(all_events=True)

    for _ in range(_STORM // 300):
        spawn(program, 300, "storm")
        witness.drain()

    counters = closed_books(witness)
    execs = witness.execs("storm")
    assert len({e.key for e in execs}) == len(execs) == _STORM
    assert {e.key for e in execs} <= {e.key for e in witness.events if isinstance(e, Exit)}
    assert len(witness.forks_of(os.getpid())) == _STORM
    assert counters.lost == 0
    assert counters.exec.submitted == counters.received["exec"]


def test_books_close_after_an_overflow(watch: Callable[..., Witness], program: Path) -> None:
    """What does not fit into the ring is counted to the last record, and the loader goes on afterwards."""
    witness = watch(all_events=True, ring_bytes=os.sysconf("SC_PAGE_SIZE"))

    spawn(program, 200, "overflow", "x" * 1000)
    lost = closed_books(witness)
    spawn(program, 1, "afterwards")

    assert lost.exec.failed >= 150
    assert lost.lost == lost.failures["ring_full"]
    assert len(witness.execs("overflow")) + lost.exec.failed >= 200
    assert witness.exec_with("afterwards").exe == str(program)
    closed_books(witness)


def test_flood_of_one_cgroup_is_suppressed_and_counted_exactly(watch: Callable[..., Witness], public_dir: Path) -> None:
    """A thousand new programs do not blind us: a bucketful is reported, the rest is told as a number."""
    witness = watch(exec_records_per_s=1, exec_records_burst=20)
    flood = [Path(shutil.copy("/bin/true", public_dir / f"new{i}")) for i in range(100)]

    for program in flood:
        spawn(program, 1, "flood")

    def told() -> KernelCounters | None:
        counters = closed_books(witness)
        return counters if witness.suppressed() == counters.exec.suppressed else None

    counters = wait_until("a notice for every suppressed record", told)
    reported = len(witness.execs("flood"))
    assert counters.exec.submitted > 0  # the bucket is that of a cgroup we may share with others
    assert reported < 60  # it holds 20, and refills each second
    assert counters.exec.suppressed >= 100 - reported
    assert counters.lost == 0


def test_flood_control_is_off_with_all_events(watch: Callable[..., Witness], program: Path) -> None:
    """Whoever asks for everything gets everything."""
    witness = watch(all_events=True, exec_records_per_s=1, exec_records_burst=1)

    spawn(program, 50, "everything")

    assert len(witness.execs("everything")) == 50
    assert witness.loader.counters().exec.suppressed == 0


def test_exit_comes_once_the_last_thread_has_left(watch: Callable[..., Witness]) -> None:
    """A thread that ends is no exit, nor is a leader that leaves before its threads."""
    witness = watch(all_events=True)
    code = (
        "import ctypes, os, sys, threading\n"
        "def rest():\n"
        "    os.write(1, b'leader left')\n"
        "    os.read(0, 1)\n"
        "    os._exit(7)\n"
        "short = threading.Thread(target=int)\n"
        "short.start(); short.join()\n"
        "threading.Thread(target=rest).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.read(1)
        too_early = witness.exits_of(process.pid)
        process.stdin.write(b"x")
        process.stdin.flush()
        process.wait()

    exits = wait_until("the exit", lambda: witness.exits_of(process.pid))
    assert too_early == []
    assert {(e.exit_code, e.key) for e in exits} == {(7 << 8, exits[0].key)}  # twice would be the same twice
    assert exits[0].key in {e.key for e in witness.events if isinstance(e, Exec)}


def test_exit_of_an_unknown_process_is_only_counted(watch: Callable[..., Witness], program: Path) -> None:
    """Without an exec record there is nothing to end."""
    witness = watch()
    spawn(program, 1, "first")
    first = witness.exec_with("first")
    witness.loader.remember(first.identity)
    before = witness.loader.counters().exit.known

    spawn(program, 1, "known")

    assert witness.exits_of(first.key.tgid) != []
    assert witness.loader.counters().exit.known > before
    assert len([e for e in witness.drain() if isinstance(e, Exit) and e.key.tgid == first.key.tgid]) == 1


@pytest.mark.parametrize("signal", [9, 15])
def test_exit_code_tells_the_signal(watch: Callable[..., Witness], signal: int) -> None:
    """The code is that of wait(2)."""
    witness = watch(all_events=True)

    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        process.send_signal(signal)
        process.wait()

    assert wait_until("the exit", lambda: witness.exits_of(process.pid))[0].exit_code == signal
