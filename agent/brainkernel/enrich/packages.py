"""Who owns a program file, and whether it still is what its package shipped.

A package database answers from an index of its own, because none of the native ones can be asked by path in the
few milliseconds there are. dpkg is in `dpkg.py`; another one (rpm) implements `PackageDatabase`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any, Protocol

from brainkernel.model import FileId, Package, PackageState

# hashlib brings libcrypto along: 3.6 MB of resident memory. CPython's own have another module name since 3.12.
_BUILT_IN: dict[str, Any] = {}
for _algorithm, _modules in (("md5", ("_md5",)), ("sha256", ("_sha256", "_sha2"))):
    for _module in _modules:
        with contextlib.suppress(ImportError):
            _BUILT_IN[_algorithm] = getattr(importlib.import_module(_module), _algorithm)
_TIMES_SLOWER = {"sha256": 3, "sha512": 2, "sha1": 2}  # than MD5, without OpenSSL

_INLINE_BYTES = 2 << 20  # MD5 does 600 MB/s: 3.5 ms, what the budget of a suspect allows
_WORKER_BYTES = 512 << 20  # larger programs do not exist; larger files would keep the worker busy for long
_PIECE_BYTES = 1 << 17
_WORKER_PIECE_BYTES = 1 << 15  # the built-in MD5 keeps the interpreter lock: 80 us of the loop's time
YIELD_S = 0.000_1  # a worker thread sleeps this long between pieces, so that the loop gets the lock
_CACHE_ENTRIES = 4096
_QUEUE_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class Owner:
    """The package that ships a path, and the checksum it shipped it with ("" where the database has none)."""

    name: str
    section: str = ""
    summary: str = ""
    algorithm: str = "md5"
    digest: str = ""


class PackageDatabase(Protocol):
    """The packages installed on a host."""

    @property
    def complete(self) -> bool:
        """Whether None from `owner_of` means that no package owns the path, rather than that it is not known."""
        ...

    def owner_of(self, path: str) -> Owner | None:
        """Find the package that ships a path. Never blocks for more than a few file reads, never raises."""
        ...

    def refresh(self) -> None:
        """Bring the index up to date, now and in this thread (a second the first time)."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


def file_id_of(stat: os.stat_result) -> FileId:
    """The kernel's identity of a file from stat(2): `s_dev` has 20 bits of minor (include/linux/kdev_t.h)."""
    return FileId((os.major(stat.st_dev) << 20) | os.minor(stat.st_dev), stat.st_ino, stat.st_ctime_ns)


def package_of(owner: Owner, state: PackageState) -> Package:
    """The noun of an owner."""
    return Package(name=owner.name, section=owner.section, summary=owner.summary, state=state)


class Checksums:
    """Reads the checksums of files: of small ones at once, of large ones in a worker thread.

    Results are kept by `FileId`, so a rewritten file is read again. That of a large file is "" until the worker has
    read it; the next question about it gets the result.
    """

    def __init__(self, *, inline_bytes: int = _INLINE_BYTES) -> None:
        self._inline_bytes = inline_bytes
        self._digests: OrderedDict[tuple[FileId, str], str] = OrderedDict()
        self._queue: deque[tuple[int, FileId, str]] = deque()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None

    def state_of(self, fd: int, file: FileId, owner: Owner) -> PackageState:
        """Compare an open file with what its package shipped. UNCHECKED if it cannot be told (yet)."""
        digest = self.digest_of(fd, file, owner.algorithm) if owner.digest else ""
        if not digest:
            return PackageState.UNCHECKED
        return PackageState.VERIFIED if digest == owner.digest else PackageState.MODIFIED

    def digest_of(self, fd: int, file: FileId, algorithm: str) -> str:
        """Read the checksum of an open file, in hexadecimal; `fd` stays the caller's. "" if it is not known (yet)."""
        with self._lock:
            known = self._digests.get((file, algorithm))
        if known is not None:
            return known
        try:
            size = os.fstat(fd).st_size
        except OSError:
            return ""
        if size <= self._inline_bytes // _TIMES_SLOWER.get(algorithm, 1):
            return self._remember(file, algorithm, _read_digest(fd, file, algorithm))
        if size <= _WORKER_BYTES:
            self._enqueue(fd, file, algorithm)
        return ""

    def wait(self) -> None:
        """Wait until the worker has nothing left to do (for tests and for offline use)."""
        worker = self._worker
        if worker is not None:
            worker.join()

    def _remember(self, file: FileId, algorithm: str, digest: str) -> str:
        if digest:
            with self._lock:
                self._digests[file, algorithm] = digest
                if len(self._digests) > _CACHE_ENTRIES:
                    self._digests.popitem(last=False)
        return digest

    def _enqueue(self, fd: int, file: FileId, algorithm: str) -> None:
        with self._lock:
            if len(self._queue) >= _QUEUE_ENTRIES or any(f == file for _, f, _ in self._queue):
                return
            try:
                self._queue.append((os.dup(fd), file, algorithm))
            except OSError:  # out of descriptors: asked again with the next suspect
                return
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="checksums", daemon=True)
                self._worker.start()

    def _work(self) -> None:
        # The thread ends with its queue, so that an idle agent has none.
        while True:
            with self._lock:
                if not self._queue:
                    self._worker = None
                    return
                fd, file, algorithm = self._queue.popleft()
            try:
                self._remember(file, algorithm, _read_digest(fd, file, algorithm, YIELD_S))
            finally:
                os.close(fd)


def _new_digest(algorithm: str) -> Any:
    if algorithm in _BUILT_IN:
        return _BUILT_IN[algorithm](usedforsecurity=False)
    import hashlib  # noqa: PLC0415 # only for what is rare

    return hashlib.new(algorithm, usedforsecurity=False)


# "" if it cannot be read, or changed while we read.
def _read_digest(fd: int, file: FileId, algorithm: str, pause_s: float = 0) -> str:
    try:
        digest = _new_digest(algorithm)
        offset = 0
        piece = memoryview(bytearray(_PIECE_BYTES if pause_s == 0 else _WORKER_PIECE_BYTES))
        while count := os.preadv(fd, [piece], offset):
            digest.update(piece[:count])
            offset += count
            if pause_s:
                time.sleep(pause_s)
        return str(digest.hexdigest()) if file_id_of(os.fstat(fd)) == file else ""
    except (OSError, ValueError):
        return ""
