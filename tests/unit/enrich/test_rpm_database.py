"""rpm's database: one that rpm 4.18 wrote (`rpm --root`), with a package of two files of the same name."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from pathlib import Path

import pytest
from brainkernel.enrich.rpm import RpmDatabase
from hypothesis import given
from hypothesis import strategies as st

SHIPPED = gzip.decompress((Path(__file__).parent / "rpmdb.sqlite.gz").read_bytes())
IN_BIN, IN_SBIN = b"#!/bin/sh\necho hello\n", b"#!/bin/sh\necho other\n"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The root of a host with that database."""
    file = tmp_path / "var/lib/rpm/rpmdb.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(SHIPPED)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "content"),
    [("/usr/bin/hello-bk", IN_BIN), ("/bin/hello-bk", IN_BIN), ("/usr/sbin/hello-bk", IN_SBIN)],
)
def test_rpm_database_finds_the_owner_by_path(host: Path, path: str, content: bytes) -> None:
    """The right file of that name, by either of its names on a merged /usr, with what it must hash to."""
    owner = RpmDatabase(host).owner_of(path)

    assert owner is not None
    assert (owner.name, owner.section, owner.summary) == ("hello-bk", "Applications/System", "Says hello to the tests")
    assert (owner.algorithm, owner.digest) == ("sha256", hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("path", ["/opt/hello-bk", "/usr/bin/other", "hello-bk", "", "/usr/bin/\udcff"])
def test_rpm_database_knows_what_no_package_owns(host: Path, path: str) -> None:
    """A file of the same name elsewhere is nobody's, and that is certain."""
    database = RpmDatabase(host)

    assert database.owner_of(path) is None
    assert database.complete


def test_rpm_database_is_only_read(host: Path) -> None:
    """Not one byte of the host's database changes, and nothing is left beside it."""
    database = RpmDatabase(host)
    database.owner_of("/usr/bin/hello-bk")
    database.close()

    assert (host / "var/lib/rpm/rpmdb.sqlite").read_bytes() == SHIPPED
    assert [f.name for f in (host / "var/lib/rpm").iterdir()] == ["rpmdb.sqlite"]


@pytest.mark.parametrize("content", [None, b"", b"SQLite format 3\0 but not really", b"\0" * 4096])
def test_rpm_database_is_missing_where_it_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    """No rpm, or a database of another kind: nothing is known, and nothing is called unowned for it."""
    if content is not None:
        (tmp_path / "var/lib/rpm").mkdir(parents=True)
        (tmp_path / "var/lib/rpm/rpmdb.sqlite").write_bytes(content)

    database = RpmDatabase(tmp_path)

    assert not database.complete
    assert database.owner_of("/usr/bin/hello-bk") is None
    assert database.present is (content is not None)


@given(st.data())
def test_rpm_database_takes_a_damaged_header(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever a header holds, the answer is an owner or none, never an exception."""
    host = tmp_path_factory.mktemp("host")
    file = host / "var/lib/rpm/rpmdb.sqlite"
    file.parent.mkdir(parents=True)
    file.write_bytes(SHIPPED)
    with sqlite3.connect(file) as db:
        blob = bytearray(db.execute("SELECT blob FROM Packages").fetchone()[0])
        for _ in range(data.draw(st.integers(1, 8))):
            blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
        db.execute("UPDATE Packages SET blob = ?", (bytes(blob[: data.draw(st.integers(0, len(blob)))]),))

    RpmDatabase(host).owner_of("/usr/bin/hello-bk")
