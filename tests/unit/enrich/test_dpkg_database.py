"""dpkg's database, asked by path: an invented one, and this host's if it has one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from brainkernel.clock import SimulatedClock
from brainkernel.enrich import dpkg
from brainkernel.enrich.dpkg import DpkgDatabase
from brainkernel.enrich.dpkgindex import build_index
from brainkernel.errors import StoreError
from support.kernel import wait_until

SECOND_NS = 1_000_000_000


def _install(root: Path, name: str, paths: list[str], md5: dict[str, str] | None = None) -> None:
    (root / "info").mkdir(parents=True, exist_ok=True)
    (root / "info" / f"{name}.list").write_text("".join(f"{p}\n" for p in ["/.", *paths]))
    (root / "info" / f"{name}.md5sums").write_text("".join(f"{d}  {p}\n" for p, d in (md5 or {}).items()))
    plain, _, arch = name.partition(":")
    status = root / "status"
    before = status.read_text() if status.exists() else ""
    status.write_text(
        f"{before}Package: {plain}\nStatus: install ok installed\nArchitecture: {arch or 'amd64'}\nSection: utils\n"
        f"Description: the {plain} package\n more about it\n\n"
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small database."""
    root = tmp_path / "dpkg"
    _install(root, "curl", ["/usr", "/usr/bin", "/usr/bin/curl"], {"usr/bin/curl": "0" * 32})
    _install(root, "bash", ["/bin", "/bin/bash"], {"bin/bash": "1" * 32})
    _install(root, "libc6:amd64", ["/usr/lib/libc.so.6"], {"usr/lib/libc.so.6": "2" * 32})
    return root


def _database(root: Path, tmp_path: Path, clock: SimulatedClock | None = None) -> DpkgDatabase:
    database = DpkgDatabase(root, tmp_path / "state" / "packages.index", clock or SimulatedClock())
    database.refresh()
    return database


def test_dpkg_names_owner_section_summary_and_checksum(root: Path, tmp_path: Path) -> None:
    """A path leads to its package and to what the package says of itself."""
    owner = _database(root, tmp_path).owner_of("/usr/bin/curl")

    assert owner is not None
    assert (owner.name, owner.section, owner.summary, owner.digest) == ("curl", "utils", "the curl package", "0" * 32)


@pytest.mark.parametrize("path", ["/bin/bash", "/usr/bin/bash"])
def test_dpkg_finds_both_names_on_a_merged_usr(root: Path, tmp_path: Path, path: str) -> None:
    """The kernel says /usr/bin/bash where the package says /bin/bash."""
    owner = _database(root, tmp_path).owner_of(path)

    assert owner is not None
    assert (owner.name, owner.digest) == ("bash", "1" * 32)


def test_dpkg_strips_the_architecture_from_a_name(root: Path, tmp_path: Path) -> None:
    """`info/` says libc6:amd64 for multi-arch packages; people say libc6."""
    owner = _database(root, tmp_path).owner_of("/usr/lib/libc.so.6")

    assert owner is not None
    assert (owner.name, owner.summary) == ("libc6", "the libc6 package")


@pytest.mark.parametrize("path", ["/usr/bin", "/usr/bin/curl2", "/usr/local/bin/curl", "", "curl", "/usr/bin/curl\n", "/\udcff"])
def test_dpkg_knows_what_nobody_owns(root: Path, tmp_path: Path, path: str) -> None:
    """Directories, strangers and odd strings have no owner, and the database is sure of it."""
    database = _database(root, tmp_path)

    assert database.owner_of(path) is None
    assert database.complete


def test_dpkg_follows_a_diversion(root: Path, tmp_path: Path) -> None:
    """Of a diverted path, the divertor owns what is there and the first package what was moved."""
    _install(root, "perf", ["/usr/bin/curl"])
    (root / "diversions").write_text("/usr/bin/curl\n/usr/bin/curl.orig\nperf\n")
    database = _database(root, tmp_path)

    diverted, original = database.owner_of("/usr/bin/curl"), database.owner_of("/usr/bin/curl.orig")

    assert diverted is not None
    assert original is not None
    assert (diverted.name, original.name, original.digest) == ("perf", "curl", "0" * 32)


def test_dpkg_notices_a_new_package_by_itself(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an installation "nobody" is no answer until the index has followed, which it does unasked."""
    clock = SimulatedClock()
    database = _database(root, tmp_path, clock)
    _install(root, "jq", ["/usr/bin/jq"])
    os.utime(root / "info", ns=(1, 1))
    looked_at = threading.Event()

    def build_after_the_look(*args: Any, **options: Any) -> None:
        assert looked_at.wait(20)
        build_index(*args, **options)

    monkeypatch.setattr(dpkg, "build_index", build_after_the_look)
    clock.advance_to(11 * SECOND_NS)

    assert not database.complete
    looked_at.set()
    wait_until("the index has followed", lambda: database.complete)
    owner = database.owner_of("/usr/bin/jq")
    assert owner is not None
    assert owner.name == "jq"
    database.close()


def test_dpkg_uses_the_index_of_the_last_run(root: Path, tmp_path: Path) -> None:
    """A second start needs no reading of lists."""
    _database(root, tmp_path).close()

    second = DpkgDatabase(root, tmp_path / "state" / "packages.index", SimulatedClock())

    assert second.complete
    assert second.owner_of("/usr/bin/curl") is not None


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_dpkg_builds_a_damaged_index_anew(root: Path, tmp_path: Path, damage: bytes | None) -> None:
    """A torn or foreign file is not read."""
    _database(root, tmp_path).close()
    file = tmp_path / "state" / "packages.index"
    file.write_bytes(file.read_bytes()[:-3] if damage is None else damage)

    database = _database(root, tmp_path)

    assert database.owner_of("/usr/bin/curl") is not None


def test_dpkg_is_not_fooled_by_a_hash_without_its_path(root: Path, tmp_path: Path) -> None:
    """A hit in the index counts only if the package's list has the very path."""
    database = _database(root, tmp_path)
    (root / "info" / "curl.list").write_text("/.\n/usr/bin/curlie\n")

    assert database.owner_of("/usr/bin/curl") is None


def test_dpkg_on_another_distribution_knows_nothing(tmp_path: Path) -> None:
    """Without dpkg nothing is owned and nothing is called unowned."""
    database = _database(tmp_path / "none", tmp_path)

    assert database.owner_of("/usr/bin/curl") is None
    assert not database.complete


def test_dpkg_says_when_the_index_cannot_be_written(root: Path, tmp_path: Path) -> None:
    """A state directory that is none is an error with a name, once, at the start."""
    (tmp_path / "state").write_text("a file")

    with pytest.raises(StoreError, match="cannot index the packages"):
        _database(root, tmp_path)


def test_dpkg_agrees_with_dpkg_about_this_host(tmp_path: Path) -> None:
    """What dpkg -S says of the shell, the index says too, with the right checksum."""
    if not Path("/var/lib/dpkg/info").is_dir():
        pytest.skip("no dpkg here; nothing to compare with")
    path = str(Path("/bin/bash").resolve())
    said = subprocess.run(["dpkg", "-S", path, path.removeprefix("/usr")], capture_output=True, text=True, check=False).stdout

    owner = _database(Path("/var/lib/dpkg"), tmp_path).owner_of(path)

    assert owner is not None
    assert said.startswith(f"{owner.name}:")
    assert owner.digest == hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest()
