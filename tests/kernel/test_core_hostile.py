from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from brainkernel.model import Exec, Mark
from brainkernel.sense import wire
from support.kernel import Witness, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_argv_of_two_megabytes_is_cut_and_says_so(watch: Callable[..., Witness], program: Path) -> None:
    """One process cannot fill the ring with one exec."""
    witness = watch()
    limit = int(subprocess.run(["getconf", "ARG_MAX"], check=True, capture_output=True).stdout)
    many = ["a" * 100_000] * ((limit - 200_000) // 100_000)

    subprocess.run([program, "huge", *many], check=True)

    event = witness.exec_with("huge")
    assert len("\0".join(event.argv).encode()) == wire.ARGV_BYTES
    assert event.marks == {Mark.ARGV_TRUNCATED}
    assert witness.loader.counters().exec.balanced


def test_argv_that_is_not_text_survives_as_it_is(watch: Callable[..., Witness], program: Path) -> None:
    """Bytes that are not UTF-8, newlines, escapes and bidi controls are data, and come back bit for bit."""
    witness = watch()
    hostile = [b"\xff\xfe\x80", b"a\nb\r\tc", b"\x1b[31mred\x1b]0;title\x07", "\u202egnp.exe".encode(), b"", b" ", b"\\x00"]

    subprocess.run([program, b"hostile", *hostile], check=True)

    event = witness.exec_with("hostile")
    assert [a.encode("utf-8", "surrogateescape") for a in event.argv[2:]] == hostile
    assert event.marks == frozenset()


def test_argv_that_is_empty_is_an_exec_like_any_other(watch: Callable[..., Witness], program: Path) -> None:
    """A program may be started with no argument at all, not even its name."""
    witness = watch()
    code = "import ctypes, sys; none = (ctypes.c_char_p * 1)(None); ctypes.CDLL(None).execve(sys.argv[1].encode(), none, none)"

    process = subprocess.run([sys.executable, "-c", code, program], check=True)

    assert process.returncode == 0
    event = wait_until("the exec without argv", lambda: [e for e in witness.drain() if isinstance(e, Exec) and e.exe == str(program)])[0]
    assert event.argv in ((), ("",))  # dcd46d897adb "exec: Force single empty string when argv is empty" (in v5.18)
    assert event.marks == {Mark.ARGV0_MISMATCH}


def test_name_of_a_program_may_hold_anything(watch: Callable[..., Witness], program: Path) -> None:
    """A hostile file name does not end in the log as an escape, nor confuse the reading of /proc."""
    witness = watch()
    odd = program.rename(program.parent / "a) R 1\n\x1b[2J")

    subprocess.run([odd, "odd-name"], check=True)

    event = witness.exec_with("odd-name")
    assert (event.exe, event.comm) == (str(odd), odd.name[:15])


def test_long_file_name_is_cut_in_the_record_only(watch: Callable[..., Witness], program: Path) -> None:
    """A path longer than the record's room is still resolved from the process itself, if it lives."""
    witness = watch()
    folder = program.parent
    for _ in range(5):
        folder /= "d" * 250
    folder.mkdir(parents=True)
    deep = folder / "sleeper"
    deep.write_bytes(b"#!/bin/sh\nread line\n")
    deep.chmod(0o755)

    with subprocess.Popen([deep, "deep-path"], stdin=subprocess.PIPE) as process:
        event = witness.exec_with("deep-path")
        process.kill()

    assert event.filename == str(deep)[: wire.FILENAME_BYTES - 1]
    assert event.argv[1] == str(deep)
