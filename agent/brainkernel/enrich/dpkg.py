"""dpkg's database, asked by path.

`/var/lib/dpkg/info/*.list` says what each package ships, one file per package: a look-up would read all of them.
So they are read once into a sorted index of path hashes in the state directory, read again when dpkg has changed
something, and a hit is confirmed in the one .list file it names: a hash that collides, or was made to, finds nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from brainkernel.enrich.dpkgindex import MERGED, Index, build_index, package_files, path_hash
from brainkernel.enrich.packages import YIELD_S, Owner
from brainkernel.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.clock import Clock

_STALE_CHECK_NS = 1_000_000_000
_REFRESH_AT_MOST_NS = 10_000_000_000  # an apt run changes the database hundreds of times
_LOCAL_DIVERSION = ":"
_MD5_DIGITS = 32
_PIECE_BYTES = 65_536


class DpkgDatabase:
    """The packages of a Debian host below `dpkg_root` (/var/lib/dpkg), indexed in `index_file`.

    Until a first `refresh` there is no index and nothing is known. Later changes are noticed on look-ups and picked
    up by a thread of its own; while the index is older than the database, what it does not know is not `unowned`.
    """

    def __init__(self, dpkg_root: Path, index_file: Path, clock: Clock) -> None:
        self._root = dpkg_root
        self._file = index_file
        self._clock = clock
        self._index = Index.open(index_file)
        self._diversions = _read_diversions(dpkg_root)
        self._checked_ns: int | None = None
        self._refreshed_ns: int | None = None
        self._fresh = False
        self._thread: threading.Thread | None = None

    @property
    def present(self) -> bool:
        """Whether this host has dpkg."""
        return database_state(self._root) is not None

    @property
    def complete(self) -> bool:
        """Whether the index is as new as the database."""
        self._look_for_changes()
        return self._fresh and self._index is not None

    def owner_of(self, path: str) -> Owner | None:
        """Find the package that ships a path, by either of its names on a merged /usr, and through diversions."""
        self._look_for_changes()
        index = self._index
        if index is None or not path.startswith("/"):
            return None
        try:
            raw = os.fsencode(path)
        except UnicodeEncodeError:  # no file can have this name
            return None
        diverted_to = {to: original for original, (to, _) in self._diversions.items()}
        original = diverted_to.get(_unmerged(raw))
        names = index.find(path_hash(_unmerged(original or raw)))
        divertor = self._diversions.get(_unmerged(original or raw), (b"", ""))[1]
        for name in sorted(names, key=lambda n: (n.partition(":")[0] == divertor) == (original is not None)):
            if self._ships(name, original or raw):
                section, summary = index.about(name)
                return Owner(name.partition(":")[0], section, summary, "md5", self._md5_of(name, original or raw))
        return None

    def refresh(self, *, pause_s: float = 0) -> None:
        """Build the index anew if the database has changed since it was written. Raises StoreError if it cannot be written."""
        state = database_state(self._root)
        if state is None:
            self._index, self._fresh = None, False
            return
        if self._index is None or self._index.state != state:
            try:
                build_index(self._root, self._file, state, pause_s=pause_s)
            except OSError as error:
                msg = f"cannot index the packages in {self._file}: {error}"
                raise StoreError(msg) from None
            self._index = Index.open(self._file)
            self._diversions = _read_diversions(self._root)
        self._fresh = self._index is not None and database_state(self._root) == state
        self._refreshed_ns = self._clock.boot_ns()

    def close(self) -> None:
        """Wait for a refresh under way and close the index."""
        if self._thread is not None:
            self._thread.join()
        self._index = None

    def _look_for_changes(self) -> None:
        now = self._clock.boot_ns()
        if self._checked_ns is not None and now - self._checked_ns < _STALE_CHECK_NS:
            return
        self._checked_ns = now
        self._fresh = self._index is not None and self._index.state == database_state(self._root)
        due = self._refreshed_ns is None or now - self._refreshed_ns >= _REFRESH_AT_MOST_NS
        # Without an index nobody has asked for one yet: the first build is the owner's to start.
        if not self._fresh and self._index is not None and due and not self._refreshing:
            self._thread = threading.Thread(target=self._refresh_in_background, name="dpkg-index", daemon=True)
            self._thread.start()

    def _refresh_in_background(self) -> None:
        # What cannot be written now is tried again at the next change; meanwhile `complete` is False.
        with contextlib.suppress(StoreError):
            self.refresh(pause_s=YIELD_S)
        self._refreshed_ns = self._clock.boot_ns()

    @property
    def _refreshing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _ships(self, name: str, raw: bytes) -> bool:
        file = package_files(self._root, name, "list")
        return any(_context(file, b"\n" + path + b"\n") is not None for path in _both_names(raw))

    def _md5_of(self, name: str, raw: bytes) -> str:
        file = package_files(self._root, name, "md5sums")
        for path in _both_names(raw):
            before = _context(file, b"  " + path[1:] + b"\n")
            if before is not None and len(before) == _MD5_DIGITS:
                return before.decode("ascii", "replace")
        return ""  # a conffile, or a package without md5sums


def database_state(root: Path) -> tuple[int, int] | None:
    """What changes whenever dpkg unpacks, configures or removes; None where there is no dpkg."""
    try:
        return (root / "info").stat().st_mtime_ns, (root / "status").stat().st_mtime_ns
    except OSError:
        return None


def _unmerged(raw: bytes) -> bytes:
    return b"/usr" + raw if raw.startswith(MERGED) else raw


def _both_names(raw: bytes) -> tuple[bytes, ...]:
    full = _unmerged(raw)
    short = full.removeprefix(b"/usr")
    return (full, short) if _unmerged(short) == full and short != full else (full,)


def _context(file: str, needle: bytes) -> bytes | None:
    # What stands before `needle` on its line; None if it is not there. In pieces, as some lists have megabytes and
    # a heap that has grown by them does not shrink.
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        kept = b"\n"
        while piece := os.read(fd, _PIECE_BYTES):
            text = kept + piece
            if (at := text.find(needle)) >= 0:
                return text[text.rfind(b"\n", 0, at) + 1 : at]
            kept = text[-(len(needle) + _MD5_DIGITS) :]
    except OSError:
        pass
    finally:
        os.close(fd)
    return None


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 # a Path per look-up costs more than the read
            return file.read()
    except OSError:
        return b""


def _read_diversions(root: Path) -> dict[bytes, tuple[bytes, str]]:
    # dpkg-divert(1): three lines each: the original, where it went, and for whom ("" for ":": everybody's)
    lines = _read_bytes(str(root / "diversions")).splitlines()
    found = {}
    for original, to, package in zip(lines[::3], lines[1::3], lines[2::3], strict=False):
        name = os.fsdecode(package)
        found[_unmerged(original)] = (_unmerged(to), "" if name == _LOCAL_DIVERSION else name)
    return found
