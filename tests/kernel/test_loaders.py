"""One suite over all loaders: whatever sees the events, they mean the same."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.model import Exec, Exit, Fork, Mark
from brainkernel.sense.exepath import file_id_of, read_start_ns
from support.kernel import Witness, wait_until
from support.loaders import closed, open_witness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.sense.loader import KernelCounters, Loader
    from support.loaders import Opener

PROC = Path("/proc")
_SPAWNS = 100
SLOW_SLOT = 20  # of 2^20 ns and more
LINGER = "import sys, time; time.sleep(0.3)"


LIVE = ["core", "bcc", "netlink"]


@pytest.fixture(params=[*LIVE, "replay"])
def observe(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens this loader; the test's own processes are not excluded unless it asks."""
    with open_witness(request.param) as opener:
        yield opener


@pytest.fixture
def lingering(public_dir: Path) -> Path:
    """A program that nobody has run before, and that lives long enough for /proc."""
    return Path(shutil.copy("/bin/sleep", public_dir / "lingering"))


def run_quietly(witness: Witness, *command: str | Path) -> int:
    """Run a program to its end, draining meanwhile as the daemon does, and give its pid."""
    with subprocess.Popen([os.fspath(c) for c in command]) as process:
        wait_until("its end", lambda: witness.drain() is None or process.poll() is not None)
        return process.pid


def run_watched(witness: Witness, *command: str | Path) -> Exec:
    """Run a program, draining while it runs as the daemon does, until its exec is seen."""
    with subprocess.Popen([os.fspath(c) for c in command]) as process:
        event = wait_until(f"the exec of {command[0]}", lambda: execs_of(witness, process.pid, Path(command[0])))[0]
        process.wait()
    return event


def execs_of(witness: Witness, pid: int, program: Path) -> list[Exec]:
    return [e for e in witness.drain() if isinstance(e, Exec) and e.key.tgid == pid and e.exe == str(program)]


def test_new_program_is_seen_with_its_fields(observe: Opener, lingering: Path) -> None:
    """File, arguments, user, parent, lineage and directory are the same from every loader."""
    witness = observe()

    event = run_watched(witness, lingering, "0.3", "0.0")

    assert event.exe == str(lingering)
    assert event.file == file_id_of(lingering.stat())
    assert event.argv == (str(lingering), "0.3", "0.0")
    assert (event.comm, event.uid, event.euid) == ("lingering", os.getuid(), os.geteuid())
    assert event.parent is not None
    assert (event.parent.tgid, event.parent.start_ns) == (os.getpid(), read_start_ns(PROC, os.getpid()))
    assert event.parent_exe == str(Path(sys.executable).resolve())
    assert event.parent_file == file_id_of(Path(sys.executable).resolve().stat())
    assert [a.key.tgid for a in event.ancestors[:2]] == [os.getpid(), os.getppid()]
    assert event.cwd == str(Path.cwd())
    assert event.marks == frozenset()
    assert abs(event.time_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < 60_000_000_000


def test_lineage_reaches_through_shells(observe: Opener, lingering: Path) -> None:
    """Who asked is known although each one between has ended by the time anybody looks at it."""
    witness = observe()

    pid = run_quietly(witness, "/bin/sh", "-c", f"/bin/sh -c '{lingering} 0.4; true'; true")
    event = next(e for e in witness.events if isinstance(e, Exec) and e.exe == str(lingering))

    shell = str(Path("/bin/sh").resolve())
    assert [(a.comm, a.exe) for a in event.ancestors[:2]] == [("sh", shell), ("sh", shell)]
    assert [a.key.tgid for a in event.ancestors[1:3]] == [pid, os.getpid()]


def test_known_program_is_quiet_and_counted(observe: Opener, lingering: Path) -> None:
    """What user space has dealt with is not reported again, until it is forgotten."""
    witness = observe()
    event = run_watched(witness, lingering, "0.3")
    witness.loader.remember(event.identity)
    before = witness.loader.counters().exec.known

    quiet = run_quietly(witness, lingering, "0.31")
    wait_until("it to be counted", lambda: witness.drain() is not None and witness.loader.counters().exec.known > before)
    witness.loader.forget(event.identity)
    again = run_watched(witness, lingering, "0.32")

    assert execs_of(witness, quiet, lingering) == []
    assert again.identity == event.identity


def test_program_flagged_always_is_reported_each_time(observe: Opener, lingering: Path) -> None:
    """An interpreter or a dual-use tool is never waved through by its file alone."""
    witness = observe()
    event = run_watched(witness, lingering, "0.3")
    witness.loader.remember(event.identity, always=True)

    assert run_watched(witness, lingering, "0.31").argv == (str(lingering), "0.31")


def test_program_flagged_always_is_quiet_with_arguments_that_are_known(observe: Opener, lingering: Path) -> None:
    """A shell that runs the same script every minute is reported until its arguments were dealt with, others ever after."""
    witness = observe()
    witness.loader.remember(run_watched(witness, lingering, "0.3").identity, always=True)
    taken = witness.loader.remember_arguments(run_watched(witness, lingering, "0.31"))
    before = witness.loader.counters().exec.known

    quiet = run_quietly(witness, lingering, "0.31")
    wait_until("it to be counted", lambda: witness.drain() is not None and witness.loader.counters().exec.known > before)

    assert taken
    assert execs_of(witness, quiet, lingering) == []
    assert run_watched(witness, lingering, "0.32").argv == (str(lingering), "0.32")


def test_process_is_followed_from_fork_to_exit(observe: Opener, lingering: Path) -> None:
    """Fork, exec and exit of one process have one key; the exit code is that of wait(2), where it can be seen."""
    witness = observe(all_events=True)

    with subprocess.Popen([lingering, "1000"]) as process:
        event = wait_until("its exec", lambda: execs_of(witness, process.pid, lingering))[0]
        process.kill()
        process.wait()
    exits = wait_until("its exit", lambda: witness.exits_of(process.pid))
    forks = [f for f in witness.forks_of(os.getpid()) if f.key.tgid == process.pid]

    assert {event.key} == {e.key for e in exits} == {f.key for f in forks}
    assert exits[0].exit_code == (0 if any("exit code" in limit for limit in witness.loader.limits) else 9)


def test_own_processes_and_their_children_are_left_out(observe: Opener, lingering: Path) -> None:
    """The agent never triggers itself, nor does anything that it starts."""
    witness = observe(own_tgids=(os.getpid(),), all_events=True)
    before = witness.loader.counters().exec.own

    run_quietly(witness, "/bin/sh", "-c", f"{lingering} 0.2; true")
    wait_until("two execs of ours", lambda: witness.drain() is not None and witness.loader.counters().exec.own >= before + 2)

    assert [e for e in witness.events if isinstance(e, Exec) and e.exe == str(lingering)] == []
    assert witness.forks_of(os.getpid()) == []


@pytest.mark.parametrize("observe", LIVE, indirect=True)
def test_flood_of_new_programs_is_held_back_and_counted(observe: Opener, public_dir: Path) -> None:
    """A bucketful of one cgroup is reported; of the rest a notice tells how many they were, and none is lost."""
    witness = observe(exec_records_per_s=1, exec_records_burst=20)
    flood = [Path(shutil.copy("/bin/sleep", public_dir / f"new{i}")) for i in range(100)]

    started = [os.posix_spawn(program, [str(program), "1000"], {}) for program in flood]
    try:
        counters = wait_until("a notice for each that was held back", lambda: books_of_all(witness, public_dir))
    finally:
        for pid in started:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    assert reported_of(witness, public_dir) < 60  # the bucket holds 20; others on this host may share it
    assert counters.exec.failed == counters.failures.get("gone", 0)  # others' that ended before /proc was asked


def books_of_all(witness: Witness, public_dir: Path) -> KernelCounters | None:
    """The closed books, once the notices say the same as they do and the hundred have all begun."""
    counters = closed(witness)
    has_all = counters.exec.suppressed + reported_of(witness, public_dir) >= 100
    return counters if has_all and witness.suppressed() == counters.exec.suppressed else None


def reported_of(witness: Witness, public_dir: Path) -> int:
    return len([e for e in witness.events if isinstance(e, Exec) and e.exe.startswith(str(public_dir))])


def test_books_close(observe: Opener, program: Path) -> None:
    """After hundreds of short-lived programs each is accounted for: given, known, or counted as missed."""
    witness = observe(all_events=True)
    before = closed(witness)

    for _ in range(_SPAWNS):
        os.waitpid(os.posix_spawn(program, [str(program), "short"], {}), 0)
        witness.drain()

    counters = closed(witness)
    assert counters.exec.seen - before.exec.seen >= _SPAWNS
    assert counters.exit.seen - before.exit.seen >= _SPAWNS
    assert counters.undecodable == 0
    # A perf ring may refuse a record on a busy host without being full (bpf_perf_event_output(), -EBUSY).
    assert len(witness.execs("short")) + counters.exec.failed - before.exec.failed >= _SPAWNS


def test_events_of_one_process_come_in_their_order(observe: Opener, program: Path) -> None:
    """Fork, exec, exit, whichever CPUs they happened on and however often somebody looks meanwhile."""
    witness = observe(all_events=True)

    for _ in range(_SPAWNS):
        pid = os.posix_spawn(program, [str(program), "ordered"], {})
        witness.drain()
        os.waitpid(pid, 0)
        witness.drain()
    closed(witness)

    ours = {f.key.tgid for f in witness.forks_of(os.getpid())}
    orders: dict[int, list[type]] = {tgid: [] for tgid in ours}
    for event in witness.events:
        if isinstance(event, Fork | Exec | Exit) and event.key.tgid in ours:
            orders[event.key.tgid].append(type(event))
    assert len(ours) == _SPAWNS
    assert {tuple(order) for order in orders.values()} <= {(Fork, Exec, Exit), (Fork, Exit), (Fork, Exec, Exit, Exit)}


def test_nothing_stays_behind_a_descriptor_that_was_asked(observe: Opener, program: Path) -> None:
    """Asking whether something waits takes nothing away: perf's own poll forgets after one answer that there was data."""
    witness = observe(all_events=True)

    for _ in range(50):
        os.waitpid(os.posix_spawn(program, [str(program)], {}), 0)
        select.select([witness.loader], [], [], 0)

    assert len(witness.forks_of(os.getpid())) == 50


def test_hostile_arguments_are_data(observe: Opener) -> None:
    """Bytes that are not UTF-8, newlines, escapes and empty arguments come back bit for bit."""
    witness = observe()
    hostile = [b"\xff\xfe\x80", b"a\nb\r\tc", b"\x1b[31mred\x1b]0;t\x07", "\u202egnp.exe".encode(), b"", b" ", b"\\x00"]

    with subprocess.Popen([sys.executable, "-c", LINGER, *hostile]) as process:
        event = wait_until("it", lambda: [e for e in witness.drain() if isinstance(e, Exec) and e.key.tgid == process.pid])[0]
        process.wait()

    assert [a.encode("utf-8", "surrogateescape") for a in event.argv[3:]] == hostile


def test_script_is_told_from_its_interpreter(observe: Opener, public_dir: Path) -> None:
    """The interpreter is what runs, its arguments are the kernel's; that is no mismatch of argv[0]."""
    witness = observe()
    script = public_dir / "job"
    script.write_text("#!/bin/sh\nsleep 0.3\n:\n")
    script.chmod(0o755)
    shell = Path("/bin/sh").resolve()

    with subprocess.Popen([script, "scripted"]) as process:
        event = wait_until("the script", lambda: execs_of(witness, process.pid, shell))[0]
        process.wait()

    assert event.argv == ("/bin/sh", str(script), "scripted")
    assert Mark.ARGV0_MISMATCH not in event.marks


@pytest.mark.parametrize("observe", LIVE, indirect=True)
def test_snapshot_shows_cpu_time_of_a_busy_process(observe: Opener) -> None:
    """Whoever burns a CPU is found by any loader, with the key that its exec had."""
    witness = observe()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            event = wait_until("it", lambda: [e for e in witness.drain() if isinstance(e, Exec) and e.key.tgid == process.pid])[0]
            sample = wait_until(
                "0.2 s of CPU time",
                lambda: [s for s in witness.loader.tasks() or () if s.key == event.key and s.cpu_ns > 200_000_000],
            )[0]
        finally:
            process.kill()

    assert (sample.ppid, sample.uid) == (os.getpid(), os.getuid())
    assert sample.rss_bytes > 1 << 20


@pytest.mark.parametrize("observe", LIVE, indirect=True)
def test_waits_for_a_cpu_are_counted_or_said_not_to_be(observe: Opener) -> None:
    """Two that want the same CPU wait a millisecond and more, again and again; who cannot see it says so."""
    loader = observe().loader
    if any("run-queue waits of the host are not seen" in limit for limit in loader.limits):
        assert loader.run_queue() is None
        return
    code = f"import os\nos.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}])\nwhile True: pass"
    before = slow_waits(loader)

    with contextlib.ExitStack() as stack:
        hogs = [stack.enter_context(subprocess.Popen([sys.executable, "-S", "-c", code])) for _ in range(2)]
        wait_until("fifty slow waits", lambda: slow_waits(loader) >= before + 50)
        for hog in hogs:
            hog.kill()


def slow_waits(loader: Loader) -> int:
    return sum((loader.run_queue() or ())[SLOW_SLOT:])


def test_close_leaves_nothing_behind(observe: Opener) -> None:
    """Descriptors and programs are gone, and the loader can be opened anew."""
    observe().loader.close()
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(2):
        loader = observe().loader
        loader.drain()
        loader.close()
        loader.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before
