from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.model import Mark, ProcessKey
from brainkernel.sense import exepath, wire
from brainkernel.sense.core import CoreLoader
from brainkernel.sense.exepath import file_id_of
from msgspec.structs import replace
from support.kernel import Witness, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

PROC = Path("/proc")


def run(*command: str | Path, **options: object) -> int:
    """Run a program to its end and give its pid."""
    with subprocess.Popen([os.fspath(c) for c in command], **options) as process:  # type: ignore[call-overload]
        process.wait()
        return int(process.pid)


def test_exec_of_a_new_program_is_seen_whole(watch: Callable[..., Witness], program: Path) -> None:
    """Path, file, arguments, user, parent and its file, directory: all as they were."""
    witness = watch()

    pid = run(program, "seen-whole", "", "ä b")

    event = witness.exec_with("seen-whole")
    assert event.key.tgid == pid
    assert event.argv == (str(program), "seen-whole", "", "ä b")
    assert (event.exe, event.filename, event.comm) == (str(program), str(program), "newcomer")
    assert event.file == file_id_of(program.stat())
    assert (event.uid, event.euid) == (os.getuid(), os.geteuid())
    own_start_ns = exepath.read_start_ns(PROC, os.getpid())
    assert own_start_ns is not None
    assert event.parent == ProcessKey(os.getpid(), own_start_ns)
    assert event.parent_exe == str(Path(sys.executable).resolve())
    assert event.parent_file == file_id_of(Path(sys.executable).resolve().stat())
    assert event.marks == frozenset()
    assert 0 <= event.time_ns - event.key.start_ns < 60_000_000_000


def test_exec_tells_the_login_it_descends_from(watch: Callable[..., Witness], program: Path) -> None:
    """Who logged in and in which session, through whatever su and sudo; nobody did for a service."""
    witness = watch()
    own = (PROC / "self/sessionid").read_text()

    run(program, "of-nobody")
    session = PROC / "self/sessionid"
    login = f"echo 1000 > /proc/self/loginuid; read session < {session}; {program} of-a-login $session; true"
    run("/bin/sh", "-c", login)

    event = witness.exec_with("of-a-login")
    assert (event.loginuid, str(event.sessionid)) == (1000, event.argv[2])
    assert event.sessionid is not None
    nobodys = witness.exec_with("of-nobody")
    assert (nobodys.sessionid is None) == (int(own) == wire.NO_SESSIONID)


def test_exec_key_equals_what_proc_says(watch: Callable[..., Witness]) -> None:
    """A key from a kernel record and one from /proc name the same process."""
    witness = watch()

    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        event = wait_until("the sleeper", lambda: [e for e in witness.execs("1000") if e.key.tgid == process.pid])[0]
        same = exepath.is_same_process(PROC, event.key)
        process.kill()

    assert same
    assert event.cwd == str(Path.cwd())


def test_exec_brings_its_lineage_along(watch: Callable[..., Witness], program: Path) -> None:
    """Who asked is known although each one between has ended by the time anybody looks."""
    witness = watch()

    run("/bin/sh", "-c", f"/bin/sh -c '{program} deep; true'; true")

    ancestors = witness.exec_with("deep").ancestors
    assert [a.comm for a in ancestors[:2]] == ["sh", "sh"]
    assert ancestors[2].key.tgid == os.getpid()
    assert ancestors[0].exe == str(Path("/bin/sh").resolve())


def test_exec_of_a_process_that_is_gone_still_has_its_path(watch: Callable[..., Witness], program: Path) -> None:
    """The file is found by the name it was started by, if it is still that file."""
    witness = watch()

    run("./newcomer", "relative", cwd=program.parent)
    relative = witness.exec_with("relative")
    run(program, "absolute")

    assert witness.exec_with("absolute").exe == str(program)
    # The directory of the child is gone with it, and its parent (this test) stands elsewhere.
    assert relative.exe in (str(program), "./newcomer")


def test_exec_of_a_file_that_was_replaced_keeps_the_name_it_was_started_by(watch: Callable[..., Witness], program: Path) -> None:
    """Another file that has the same name by now does not get into the record of the old one."""
    witness = watch()
    before = file_id_of(program.stat())

    run(program, "replaced")
    program.unlink()
    program.write_bytes(Path("/bin/false").read_bytes())

    event = witness.exec_with("replaced")
    assert event.file == before
    assert event.exe == str(program)
    assert witness.loader.drain() is not None


def test_exec_of_a_script_names_interpreter_and_script(watch: Callable[..., Witness], public_dir: Path) -> None:
    """The interpreter is what runs, the script is what was started; that is no mismatch of argv[0]."""
    witness = watch()
    script = public_dir / "job"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)

    run(script, "scripted")

    event = witness.exec_with("scripted")
    assert event.exe == str(Path("/bin/sh").resolve())
    assert event.filename == str(script)
    assert event.argv == ("/bin/sh", str(script), "scripted")
    assert event.marks == frozenset()


def test_exec_marks_what_is_odd(watch: Callable[..., Witness], program: Path) -> None:
    """A deleted file, a file in memory, setuid and a lying argv[0] are seen in the kernel or in the name."""
    witness = watch()
    memfd = os.memfd_create("hidden", 0)
    os.write(memfd, program.read_bytes())
    program.chmod(0o4755)

    run(program, "as-root", user=65534)
    run("kworker", "lying", executable=program)
    run(f"/proc/self/fd/{memfd}", "in-memory", pass_fds=(memfd,))
    fd = os.open(program, os.O_RDONLY)
    program.unlink()
    run(f"/proc/self/fd/{fd}", "deleted", pass_fds=(fd,))
    os.close(fd)
    os.close(memfd)

    assert witness.exec_with("as-root").marks == {Mark.SETUID}
    assert (witness.exec_with("as-root").uid, witness.exec_with("as-root").euid) == (65534, 0)
    assert witness.exec_with("lying").marks == {Mark.ARGV0_MISMATCH}
    assert witness.exec_with("in-memory").marks == {Mark.MEMFD}
    assert witness.exec_with("deleted").marks == {Mark.DELETED}


def test_known_program_costs_no_record_and_no_wakeup(watch: Callable[..., Witness], program: Path) -> None:
    """Once user space has dealt with a program, the kernel only counts it."""
    witness = watch()
    run(program, "first")
    witness.loader.remember(witness.exec_with("first").identity)

    def a_quiet_round() -> bool:
        """Others start and end programs on this host too; a round without them shows what ours cost."""
        witness.drain()
        before = witness.loader.counters()
        if select.select([witness.loader], [], [], 0)[0]:  # of what started in between
            return False
        os.waitpid(os.posix_spawn(program, [str(program), "again"], {}), 0)  # a millisecond, so that a quiet one is found
        ready, _, _ = select.select([witness.loader], [], [], 0)
        after = witness.loader.counters()
        if (after.exec.seen, after.exit.seen) != (before.exec.seen + 1, before.exit.seen + 1):
            return False
        assert not ready
        assert after.exec.known == before.exec.known + 1
        assert (after.exec.submitted, after.wakeups) == (before.exec.submitted, before.wakeups)
        return True

    wait_until("a round in which nobody else starts a program", a_quiet_round)
    assert witness.execs("again") == []


def test_known_program_is_new_for_another_user_parent_or_version(watch: Callable[..., Witness], program: Path) -> None:
    """The gate keeps this file, from this parent, for this user; whatever differs is reported."""
    witness = watch()
    run(program, "first")
    witness.loader.remember(witness.exec_with("first").identity)

    run(program, "other-user", user=65534)
    run("/bin/sh", "-c", f"{program} other-parent; true")
    program.touch()
    run(program, "other-version")

    for arg in ("other-user", "other-parent", "other-version"):
        assert witness.exec_with(arg).exe == str(program)


def test_known_program_flagged_always_is_reported_each_time(watch: Callable[..., Witness], program: Path) -> None:
    """An interpreter or a dual-use tool is never waved through, and does not wait for the next tick."""
    witness = watch()
    run(program, "first")
    witness.loader.remember(witness.exec_with("first").identity, always=True)
    witness.drain()

    run(program, "again")

    ready, _, _ = select.select([witness.loader], [], [], 5)
    assert ready
    assert len(witness.execs("again")) == 1


def test_forgotten_program_is_reported_again(watch: Callable[..., Witness], program: Path) -> None:
    """What user space takes back counts as never seen."""
    witness = watch()
    run(program, "first")
    identity = witness.exec_with("first").identity

    assert witness.loader.remember_many([(identity, False)]) == 1
    run(program, "kept")
    witness.loader.forget(identity)
    run(program, "again")

    witness.exec_with("again")
    assert witness.execs("kept") == []


def test_gate_is_bounded_and_keeps_what_is_used(watch: Callable[..., Witness], program: Path) -> None:
    """Whoever makes new programs without end does not grow it, nor push out what runs all the time; what nobody ran is asked about again."""
    witness = watch()
    loader = witness.loader
    assert isinstance(loader, CoreLoader)
    run(program, "first")
    used = witness.exec_with("first").identity
    run("/bin/sh", "-c", f"{program} unused; true")
    unused = witness.exec_with("unused").identity
    loader.remember_many([(used, False), (unused, False)])
    assert used.file is not None

    for flood in range(10):
        made_up = [replace(used, file=replace(used.file, ino=flood * 2048 + n, ctime_ns=1)) for n in range(2048)]
        loader.remember_many([(identity, False) for identity in made_up])
        run(program, "amid")
    run("/bin/sh", "-c", f"{program} evicted; true")

    witness.exec_with("evicted")
    assert witness.execs("amid") == []
    assert len(loader._known.items(65536)) <= 16384


def test_tracked_process_that_becomes_a_known_program_is_reported(watch: Callable[..., Witness], program: Path) -> None:
    """User space was told of a shell; it must not blame the shell for what the shell turned into."""
    witness = watch()
    run("/bin/sh", "-c", f"exec {program} first")
    witness.loader.remember(witness.exec_with("first").identity)

    pid = run("/bin/sh", "-c", f"exec {program} second")

    event = wait_until("the second", lambda: [e for e in witness.execs("second") if e.exe == str(program)])[0]
    assert event.key.tgid == pid


def test_own_processes_and_their_children_are_left_out(watch: Callable[..., Witness], program: Path) -> None:
    """The agent never triggers itself, nor does anything that it starts."""
    witness = watch(own_tgids=(os.getpid(),), all_events=True)
    before = witness.loader.counters()

    run("/bin/sh", "-c", f"{program} ours; {program} ours")

    after = witness.loader.counters()
    assert witness.execs("ours") == []
    assert after.exec.own - before.exec.own == 3
    assert after.fork.own - before.fork.own >= 2
    assert after.exit.own - before.exit.own >= 2
