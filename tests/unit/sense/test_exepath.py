from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from brainkernel.model import FileId, ProcessKey
from brainkernel.sense import exepath
from brainkernel.sense.exepath import ExePaths, file_id_of
from hypothesis import given
from hypothesis import strategies as st

PROC = Path("/proc")
NOBODY = ProcessKey(2**22 + 1, 0)  # above the largest pid there is


def own_key() -> ProcessKey:
    start_ns = exepath.read_start_ns(PROC, os.getpid())
    assert start_ns is not None
    return ProcessKey(os.getpid(), start_ns)


def own_file() -> FileId:
    return file_id_of(Path("/proc/self/exe").stat())


def test_path_of_a_living_process_is_that_of_its_file() -> None:
    """The process is asked, and what it says is checked against the file."""
    paths = ExePaths(PROC)

    assert paths.of(own_file(), own_key(), "some/name") == str(Path("/proc/self/exe").readlink())


def test_path_of_a_process_that_runs_another_file_by_now_is_not_taken() -> None:
    """A second exec in the same process must not lend its path to the first."""
    stranger = FileId(own_file().dev, 1, 2)

    assert ExePaths(PROC).of(stranger, own_key(), "as-given") == "as-given"


def test_path_on_a_file_system_with_numbers_of_its_own_is_taken_from_the_same_process_only() -> None:
    """Where stat(2) shows another device than the kernel has, the start time is what identifies."""
    elsewhere = FileId(own_file().dev + 1, 1, 2)
    key = own_key()

    assert ExePaths(PROC).of(elsewhere, key) == str(Path("/proc/self/exe").readlink())
    assert ExePaths(PROC).of(elsewhere, ProcessKey(key.tgid, key.start_ns + 10_000_000)) == ""


def test_path_of_a_gone_process_comes_from_its_filename_if_that_is_the_file(tmp_path: Path) -> None:
    """Symlinks are resolved, and a file that was replaced is not mistaken for the old one."""
    real = tmp_path / "real"
    real.write_bytes(b"1")
    link = tmp_path / "link"
    link.symlink_to(real)
    old = file_id_of(real.stat())

    assert ExePaths(PROC).of(old, NOBODY, str(link)) == str(real)

    real.unlink()
    (tmp_path / "x").write_bytes(b"2")
    (tmp_path / "x").rename(real)
    assert ExePaths(PROC).of(old, NOBODY, str(link)) == str(link)


def test_path_of_a_gone_process_may_be_relative_to_its_parent(tmp_path: Path) -> None:
    """Make and shells start ./conftest, which has ended long before anybody looks."""
    file = tmp_path / "conftest"
    file.write_bytes(b"1")

    with subprocess.Popen(["/bin/sleep", "1000"], cwd=tmp_path) as parent:
        path = ExePaths(PROC).of(file_id_of(file.stat()), NOBODY, "./conftest", parent.pid)
        parent.kill()

    assert path == str(file)


def test_path_that_was_learned_needs_no_process(tmp_path: Path) -> None:
    """The second run of a program costs one look-up in a dict."""
    paths = ExePaths(tmp_path / "no-proc-here")
    file = FileId(1, 2, 3)

    paths.learn(file, "/usr/bin/learned")

    assert paths.of(file, NOBODY) == "/usr/bin/learned"
    assert paths.known(file) == "/usr/bin/learned"
    assert paths.known(FileId(1, 2, 4)) is None


def test_paths_are_bounded() -> None:
    """Ten thousand new programs do not stay for ever: the oldest goes."""
    paths = ExePaths(PROC, capacity=3)

    for ino in range(10):
        paths.learn(FileId(1, ino, 0), str(ino))

    assert len(paths) == 3
    assert paths.known(FileId(1, 6, 0)) is None
    assert paths.known(FileId(1, 9, 0)) == "9"


def test_path_of_a_deleted_file_is_without_the_kernels_remark(tmp_path: Path) -> None:
    """`(deleted)` is d_path's, unless the file is really called so."""
    gone = Path(shutil.copy("/bin/sleep", tmp_path / "gone"))
    odd = Path(shutil.copy("/bin/sleep", tmp_path / "odd (deleted)"))

    with subprocess.Popen([gone, "1000"]) as one, subprocess.Popen([odd, "1000"]) as other:
        gone.unlink()
        read = [exepath.read_exe(PROC, p.pid) for p in (one, other)]
        one.kill()
        other.kill()

    assert [r[0] for r in read if r] == [str(gone), str(odd)]


@given(st.binary(min_size=1, max_size=15).filter(lambda b: b"\0" not in b))
def test_start_time_is_read_behind_any_name(name: bytes) -> None:
    """A process may call itself `) R 1 2 3`."""
    line = b"7 (" + name + b") S 1 7 7 34816 7 4194560 " + b"0 " * 12 + b"12345 0 0\n"

    fields = exepath.fields_of_stat(line)

    assert fields[exepath.STAT_STARTTIME] == b"12345"
    assert fields[exepath.STAT_TTY_NR] == b"34816"


def test_what_is_gone_is_none() -> None:
    """No question about a process that ended raises."""
    assert exepath.read_start_ns(PROC, NOBODY.tgid) is None
    assert exepath.read_exe(PROC, NOBODY.tgid) is None
    assert exepath.read_cwd(PROC, NOBODY) is None
    assert exepath.read_comm(PROC, NOBODY.tgid) is None
    assert exepath.read_loginuid(PROC, NOBODY.tgid) is None
    assert exepath.read_tty(PROC, NOBODY.tgid) == 0
    assert exepath.read_cwd(PROC, ProcessKey(os.getpid(), 0)) is None
