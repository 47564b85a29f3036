"""rpm's database, asked by path: SQLite since rpm 4.16 (Fedora 33, RHEL 9), read as it lies there and never written.

The table Basenames finds the packages that ship a file of that name; the package's header, a blob of tagged arrays
(lib/header.c), says in which directory, with which checksum. Older hosts keep the database in Berkeley DB or NDB, for
which nothing is installed that could read it: there the source is missing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.enrich.packages import Owner

if TYPE_CHECKING:
    from pathlib import Path

_FILES = ("usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite")
_FIND = "SELECT DISTINCT p.blob FROM Basenames b JOIN Packages p ON p.hnum = b.hnum WHERE b.key = ? LIMIT 32"
_MERGED = ("/bin/", "/sbin/", "/lib/", "/lib64/")
# include/rpm/rpmtag.h
_NAME, _SUMMARY, _GROUP = 1000, 1004, 1016
_DIGESTS, _DIR_INDEXES, _BASENAMES, _DIR_NAMES, _DIGEST_ALGORITHM = 1035, 1116, 1117, 1118, 5011
_ALGORITHMS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512"}  # of OpenPGP, RFC 9580
_ENTRY = struct.Struct(">IIII")  # tag, type, offset, count
_LENGTHS = struct.Struct(">II")  # of the index, of the data
_INT32, _STRINGS = 4, (6, 8, 9)
_HEADER_BYTES_MAX = 64 << 20
_ENTRIES_MAX = 65_536


class _Header(NamedTuple):
    entries: dict[int, tuple[int, int, int]]  # tag: type, offset, count
    data: memoryview


class RpmDatabase:
    """The packages of an rpm host below `fs_root`. A host without rpm, or with an older database, has none."""

    def __init__(self, fs_root: Path) -> None:
        self._file = next((fs_root / f for f in _FILES if (fs_root / f).is_file()), None)
        self._db: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self.refresh()

    @property
    def present(self) -> bool:
        """Whether this host has such a database."""
        return self._file is not None

    @property
    def complete(self) -> bool:
        """Whether None from `owner_of` means that no package owns the path. SQLite always shows what is committed."""
        return self._db is not None

    def owner_of(self, path: str) -> Owner | None:
        """Find the package that ships a path, by either of its names on a merged /usr. Never raises."""
        if self._db is None or not path.startswith("/"):
            return None
        try:
            with self._lock:
                rows = self._db.execute(_FIND, (path.rpartition("/")[2],)).fetchall()
        except (sqlite3.Error, UnicodeEncodeError):
            return None
        for (blob,) in rows:
            with contextlib.suppress(struct.error, IndexError, ValueError, TypeError):  # damaged, or a format to come
                if owner := _owner_in(blob, path):
                    return owner
        return None

    def refresh(self) -> None:
        """Open the database, if that has not been done: there is no index of our own."""
        if self._db is None and self._file is not None:
            # immutable for a read-only file system, where SQLite cannot make the shared memory of a WAL.
            for how in ("mode=ro", "mode=ro&immutable=1"):
                with contextlib.suppress(sqlite3.Error):
                    db = sqlite3.connect(f"file:{self._file}?{how}", uri=True, check_same_thread=False, timeout=0.005)
                    db.execute("SELECT 1 FROM Basenames LIMIT 1")
                    self._db = db
                    return

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None


def _owner_in(blob: bytes, path: str) -> Owner | None:
    header = _header_of(blob)
    names, directories = _strings(header, _BASENAMES), _strings(header, _DIR_NAMES)
    indexes = _numbers(header, _DIR_INDEXES)
    directory, name = os.fsencode(path.rpartition("/")[0] + "/"), os.fsencode(path.rpartition("/")[2])
    wanted = {directory, _unmerged(directory)}
    for number, (basename, at) in enumerate(zip(names, indexes, strict=True)):
        if basename == name and (directories[at] in wanted or _unmerged(directories[at]) in wanted):
            digests = _strings(header, _DIGESTS)
            algorithm = _ALGORITHMS.get((_numbers(header, _DIGEST_ALGORITHM) or (1,))[0], "")
            return Owner(
                name=_text(header, _NAME),
                section=_text(header, _GROUP),
                summary=_text(header, _SUMMARY),
                algorithm=algorithm,
                digest=digests[number].decode("ascii") if algorithm and number < len(digests) else "",
            )
    return None


def _unmerged(directory: bytes) -> bytes:
    return b"/usr" + directory if os.fsdecode(directory).startswith(_MERGED) else directory


def _header_of(blob: bytes) -> _Header:
    count, length = _LENGTHS.unpack_from(blob)
    if count > _ENTRIES_MAX or length > _HEADER_BYTES_MAX:
        msg = "no header of rpm"
        raise ValueError(msg)
    start = _LENGTHS.size + count * _ENTRY.size
    entries = {}
    for number in range(count):
        tag, kind, offset, items = _ENTRY.unpack_from(blob, _LENGTHS.size + number * _ENTRY.size)
        entries[tag] = (kind, offset, items)
    return _Header(entries, memoryview(blob)[start : start + length])


def _strings(header: _Header, tag: int) -> list[bytes]:
    kind, offset, count = header.entries.get(tag, (0, 0, 0))
    return bytes(header.data[offset:]).split(b"\0", count)[:count] if kind in _STRINGS else []


def _numbers(header: _Header, tag: int) -> tuple[int, ...]:
    kind, offset, count = header.entries.get(tag, (0, 0, 0))
    return struct.unpack_from(f">{count}I", header.data, offset) if kind == _INT32 and count <= len(header.data) else ()


def _text(header: _Header, tag: int) -> str:
    return next((s.decode("utf-8", "replace") for s in _strings(header, tag)), "")
