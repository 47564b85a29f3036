"""The enricher over real processes, real files and an invented package database."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.enrich.enricher import Enricher
from brainkernel.enrich.lineage import parents_of
from brainkernel.enrich.packages import Checksums, Owner, file_id_of
from brainkernel.enrich.procfs import ProcFs, cgroup_of, delays_of, stat_of
from brainkernel.enrich.table import ProcessTable
from brainkernel.model import (
    Evidence,
    Exec,
    FileId,
    Identity,
    Mark,
    PackageState,
    ProcessKey,
    Program,
    Suspect,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")


class Packages:
    """A package database of one program, which counts what it is asked."""

    def __init__(self, path: str = "", digest: str = "", *, complete: bool = True) -> None:
        self.path = path
        self.digest = digest
        self.complete = complete
        self.asked = 0

    def owner_of(self, path: str) -> Owner | None:
        self.asked += 1
        return Owner("coreutils", "utils", "GNU core utilities", "md5", self.digest) if path == self.path else None

    def refresh(self) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


def _enricher(packages: Packages, *, proc_root: Path = PROC, checksums: Checksums | None = None) -> Enricher:
    return Enricher(proc_root=proc_root, fs_root=Path("/"), clock=SimulatedClock(), packages=(packages,), checksums=checksums)


def _suspect(key: ProcessKey, exe: str, file: FileId | None, *, cwd: str = "", cgroup: str = "") -> Suspect:
    return Suspect(
        key=key, program=Program(exe=exe, cwd=cwd, cgroup=cgroup), identity=Identity(exe, file, "", None, 0), reasons=(), seen_ns=0
    )


@contextmanager
def _running(program: Path) -> Iterator[tuple[ProcessKey, FileId]]:
    with subprocess.Popen([program, "60"]) as child:
        try:
            proc = ProcFs(PROC)
            while proc.read_exe(child.pid) != str(program):
                time.sleep(0.001)
            key = proc.read_key(child.pid)
            assert key is not None
            yield key, file_id_of(program.stat())
        finally:
            child.kill()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of our own that only sleeps."""
    path = tmp_path / "sleeper"
    shutil.copy(Path("/bin/sleep").resolve(), path)
    return path


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_enricher_verifies_a_running_program_against_its_package(program: Path) -> None:
    """An unchanged file of a package is verified, and asked for once."""
    packages = Packages(str(program), _md5(program))
    enricher = _enricher(packages)

    with _running(program) as (key, file):
        states = [enricher.enrich(_suspect(key, str(program), file)).evidence.package for _ in range(2)]

    assert [p and p.state for p in states] == [PackageState.VERIFIED] * 2
    assert packages.asked == 1


def test_enricher_finds_a_changed_program(program: Path) -> None:
    """A file that differs from what its package shipped is modified."""
    packages = Packages(str(program), "0" * 32)

    with _running(program) as (key, file):
        package = _enricher(packages).enrich(_suspect(key, str(program), file)).evidence.package

    assert package is not None
    assert package.state is PackageState.MODIFIED


def test_enricher_judges_the_file_that_runs_and_not_the_one_at_its_path(program: Path) -> None:
    """Putting the genuine file back after the start does not help."""
    genuine = _md5(program)
    original = program.read_bytes()
    program.write_bytes(original + b"\0payload")

    with _running(program) as (key, file):
        program.unlink()
        program.write_bytes(original)
        exe = ProcFs(PROC).read_exe(key.tgid)
        assert exe == f"{program} (deleted)"
        package = _enricher(Packages(str(program), genuine)).enrich(_suspect(key, str(program), file)).evidence.package

    assert package is not None
    assert package.state is PackageState.UNCHECKED or package.state is PackageState.MODIFIED


def test_enricher_says_unowned_only_when_it_is_sure(program: Path) -> None:
    """While the index lags behind, a stranger may be a package's."""
    suspect = _suspect(ProcessKey(2**22 - 1, 0), str(program), file_id_of(program.stat()))

    sure = _enricher(Packages()).enrich(suspect).evidence
    unsure = _enricher(Packages(complete=False)).enrich(suspect).evidence

    assert (sure.unowned, unsure.unowned) == (True, False)


def test_enricher_asks_the_hosts_packages_nothing_about_a_container(program: Path) -> None:
    """The same path in a container is another file."""
    packages = Packages(str(program), "0" * 32)
    suspect = _suspect(ProcessKey(2**22 - 1, 0), str(program), None, cgroup=f"/system.slice/docker-{'ab' * 32}.scope")

    evidence = _enricher(packages).enrich(suspect).evidence

    assert (evidence.package, evidence.unowned, evidence.container) == (None, False, "abababababab")
    assert packages.asked == 0


def test_enricher_keeps_a_dead_processs_evidence_from_its_event() -> None:
    """Terminal and marks come from the kernel's record when the process is gone."""
    key = ProcessKey(2**22 - 1, 0)
    started = Exec(time_ns=0, key=key, tty=os.makedev(136, 7), marks=frozenset({Mark.SETUID}))
    suspect = _suspect(key, "/tmp/x", None, cgroup="/user.slice/user-1000.slice/session-4.scope")

    evidence = _enricher(Packages()).enrich(suspect, started).evidence

    assert (evidence.tty, evidence.session, evidence.unit and evidence.unit.name) == ("pts/7", "4", "session-4.scope")
    assert evidence.marks == {Mark.SETUID, Mark.WORLD_WRITABLE_DIR}


def test_enricher_takes_the_session_of_a_dead_process_from_its_event() -> None:
    """Where the cgroup does not name one (sudo, cron): the audit session, which logind takes for its own number."""
    key = ProcessKey(2**22 - 1, 0)

    evidence = _enricher(Packages()).enrich(_suspect(key, "/opt/x", None), Exec(time_ns=0, key=key, sessionid=4)).evidence

    assert evidence.session == "4"


def test_enricher_takes_nothing_from_a_process_that_has_the_pid_now(program: Path) -> None:
    """A reused pid is somebody else: its cgroup, session and file are not the suspect's."""
    with _running(program) as (key, _):
        stranger = msgspec.structs.replace(key, start_ns=key.start_ns - 10_000_000)
        evidence = _enricher(Packages(str(program), _md5(program))).enrich(_suspect(stranger, "/usr/bin/other", None)).evidence

    assert (evidence.session, evidence.tty, evidence.package) == ("", "", None)


def test_enricher_checks_large_files_beside_the_loop(program: Path) -> None:
    """What would take too long is unchecked at first and known the next time."""
    checksums = Checksums(inline_bytes=16)
    enricher = _enricher(Packages(str(program), _md5(program)), checksums=checksums)

    with _running(program) as (key, file):
        suspect = _suspect(key, str(program), file)
        first = enricher.enrich(suspect).evidence.package
        checksums.wait()
        second = enricher.enrich(suspect).evidence.package

    assert first is not None
    assert second is not None
    assert (first.state, second.state) == (PackageState.UNCHECKED, PackageState.VERIFIED)


@pytest.mark.parametrize("exe", ["", "relative", "/nonexistent", "/tmp", "/dev/null", "/memfd:x (deleted)", "/x\0y", "/\udcff", "a" * 5000])
def test_enricher_never_raises(tmp_path: Path, exe: str) -> None:
    """Whatever stands in a suspect, with an empty /proc, evidence comes back."""
    suspect = _suspect(ProcessKey(1, 0), exe, None, cwd=exe, cgroup=exe)
    packages = Packages(exe, "0" * 32)

    evidence = _enricher(packages, proc_root=tmp_path).enrich(suspect).evidence

    assert isinstance(evidence, Evidence)


def test_parents_of_reads_on_in_proc_where_the_table_ends() -> None:
    """Our own test runner's ancestors are found without any event."""
    proc, table = ProcFs(PROC), ProcessTable()
    me = proc.read_key(os.getpid())
    child = Exec(time_ns=0, key=ProcessKey(2**22 - 1, 0), parent=me)

    parents = parents_of(child, table, proc)

    assert parents[0] == proc.read_exe(os.getpid())
    assert me is not None
    assert table.get(me) is not None


def test_parents_of_names_the_parent_of_the_event_even_if_it_is_dead(tmp_path: Path) -> None:
    """The kernel's record knows the parent's program when nothing else does."""
    event = Exec(time_ns=0, key=ProcessKey(5, 0), parent=ProcessKey(4, 0), parent_exe="/usr/bin/bash", exe="/usr/bin/ls")

    parents = parents_of(event, ProcessTable(), ProcFs(tmp_path))

    assert parents == ("/usr/bin/bash",)


def test_stat_of_reads_a_comm_with_parentheses() -> None:
    """A process may call itself anything."""
    fields = " ".join(["S", "7", "1", "1", "34817", *["0"] * 14, "250", *["0"] * 30])

    stat = stat_of(9, f"9 (a) b (c)) {fields}")

    assert stat is not None
    assert (stat.comm, stat.ppid, stat.tty, stat.key) == ("a) b (c)", 7, 34817, ProcessKey(9, 2_500_000_000))


@pytest.mark.parametrize("text", ["", "9", "9 (x) S", "9 (x) " + "z " * 30])
def test_stat_of_takes_a_torn_file_as_gone(text: str) -> None:
    """Half a line is no process."""
    assert stat_of(9, text) is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/cron.service\n", "/system.slice/cron.service"),
        ("9:name=systemd:/user.slice\n4:memory:/x\n0::/\n", "/user.slice"),
        ("0::/a:b\n", "/a:b"),
        ("", ""),
    ],
)
def test_cgroup_of_prefers_the_unified_hierarchy(text: str, path: str) -> None:
    """On v2 there is one line; on v1 systemd's named hierarchy says the unit."""
    assert cgroup_of(text) == path


def test_delays_of_reads_both_files() -> None:
    """Waiting for a CPU in nanoseconds, for disks in ticks of 10 ms; what the kernel does not count is not known."""
    stat = f"1 (a b) c) S {' '.join(['0'] * 38)} 7 0 0"

    assert delays_of("500 1500000 3\n", stat) == (1_500_000, 70_000_000)
    assert delays_of("", "1 (x) S 0") == (None, None)


def test_enricher_says_how_old_a_program_is_and_what_it_hashes_to(program: Path) -> None:
    """For a file that nobody ships these two are what people look up; a packaged one is told by its package."""
    clock = SimulatedClock(offset_to_wall_ns=program.stat().st_ctime_ns + 90 * 10**9)
    packages = Packages()
    enricher = Enricher(proc_root=PROC, fs_root=Path("/"), clock=clock, packages=(packages,))

    with _running(program) as (key, file):
        evidence = enricher.enrich(_suspect(key, str(program), file)).evidence

    assert evidence.unowned
    assert evidence.exe_age_s == 90
    assert evidence.exe_sha256 == hashlib.sha256(program.read_bytes()).hexdigest()
    assert evidence.run_delay_ns is not None


def test_enricher_hashes_a_large_program_in_the_background(program: Path) -> None:
    """The first answer does not wait for it; the next one has it."""
    checksums = Checksums(inline_bytes=1)
    enricher = _enricher(Packages(), checksums=checksums)

    with _running(program) as (key, file):
        first = enricher.enrich(_suspect(key, str(program), file)).evidence
        checksums.wait()
        second = enricher.enrich(_suspect(key, str(program), file)).evidence

    assert (first.exe_sha256, len(second.exe_sha256)) == ("", 64)


def test_enricher_sees_what_a_shell_is_connected_to() -> None:
    """The connection that is a process's standard input is evidence."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        with subprocess.Popen(["/bin/cat"], stdin=near.fileno(), stdout=subprocess.DEVNULL) as child:
            key = ProcFs(PROC).read_key(child.pid)
            assert key is not None
            evidence = _enricher(Packages()).enrich(_suspect(key, "/usr/bin/cat", None)).evidence
            child.kill()
        port = server.getsockname()[1]

    assert evidence.remote_stdio == f"127.0.0.1:{port}"
    assert evidence.sockets
