"""The index file: path hash to package, in sorted buckets.

    magic, format version, state of the database (2), entries, packages, length of the text part   8 bytes each
    257 x u32     first entry of each bucket (the top byte of the hash), and the end
    entries x u64 48 bits of path hash, 16 bits of package number, sorted
    text          one line per package: name, section, summary, tab-separated

It is read with pread(2), not mapped: a look-up costs two reads of some kilobytes and no resident memory.
"""

from __future__ import annotations

import os
import struct
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from typing import TYPE_CHECKING, Self

try:  # hashlib brings libcrypto along: 3.6 MB of resident memory
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = int.from_bytes(b"bkdpkg\0\0", "little")
_VERSION = 2
_HEADER = struct.Struct("<7Q")
_BUCKETS = 256
_STARTS_BYTES = 4 * (_BUCKETS + 1)
_PACKAGE_BITS = 16
_PACKAGES_MAX = 1 << _PACKAGE_BITS
_ABOUT_CACHE_ENTRIES = 128
_SUMMARY_CHARS = 120
# What is never a program: three quarters of all paths of a desktop.
_NOT_PROGRAMS = tuple(
    f"/usr/{d}/".encode()
    for d in (
        "share/doc",
        "share/man",
        "share/locale",
        "share/icons",
        "share/fonts",
        "share/help",
        "share/licenses",
        "share/info",
        "include",
    )
)

MERGED = (b"/bin/", b"/sbin/", b"/lib/", b"/lib32/", b"/lib64/", b"/libx32/")  # links into /usr on a merged system


def path_hash(path: bytes) -> int:
    """The upper 48 bits of the hash of a path, as it stands in an entry."""
    return int.from_bytes(blake2b(path, digest_size=6).digest(), "big")


def package_files(root: Path, name: str, kind: str) -> str:
    """Where dpkg keeps one file about a package ("name" or "name:arch" as in `info/`)."""
    return f"{root}/info/{name}.{kind}"


class Index:
    """An open index file. It stays valid when the file is replaced."""

    def __init__(self, fd: int, header: tuple[int, ...], starts: array[int]) -> None:
        self._fd = fd
        self.state = (header[2], header[3])
        self._entries = header[4]
        self._starts = starts
        text_at = _HEADER.size + _STARTS_BYTES + 8 * self._entries
        self._text_at = text_at
        self._text_bytes = header[6]
        self._line_ends = _line_ends(fd, text_at, header[6])
        self._about: OrderedDict[str, tuple[str, str]] = OrderedDict()

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Open an index; None if there is none or it is not whole."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            header = _HEADER.unpack(os.pread(fd, _HEADER.size, 0))
            starts = array("I", os.pread(fd, _STARTS_BYTES, _HEADER.size))
            whole = _HEADER.size + _STARTS_BYTES + 8 * header[4] + header[6] == os.fstat(fd).st_size
            if header[:2] == (_MAGIC, _VERSION) and whole and len(starts) == _BUCKETS + 1:
                return cls(fd, header, starts)
        except (OSError, struct.error, ValueError):
            pass
        os.close(fd)
        return None

    def find(self, path_hash_: int) -> list[str]:
        """The packages, by their names in `info/`, that have a path with this hash."""
        bucket = path_hash_ >> 40
        first, end = self._starts[bucket], self._starts[bucket + 1]
        at = _HEADER.size + _STARTS_BYTES
        try:
            entries = array("Q", os.pread(self._fd, 8 * (end - first), at + 8 * first))
        except (OSError, ValueError):
            return []
        found = []
        position = bisect_left(entries, path_hash_ << _PACKAGE_BITS)
        while position < len(entries) and entries[position] >> _PACKAGE_BITS == path_hash_:
            fields = self._line(entries[position] & (_PACKAGES_MAX - 1)).split("\t")
            if len(fields) == 3:  # noqa: PLR2004 # name, section, summary
                found.append(fields[0])
                self._about[fields[0]] = (fields[1], fields[2])
            position += 1
        while len(self._about) > _ABOUT_CACHE_ENTRIES:
            self._about.popitem(last=False)
        return found

    def about(self, name: str) -> tuple[str, str]:
        """Section and summary of a package that `find` has just named."""
        return self._about.get(name, ("", ""))

    def __del__(self) -> None:
        # Not on replacement: a look-up in another thread may still be reading.
        os.close(self._fd)

    def _line(self, number: int) -> str:
        if number >= len(self._line_ends):
            return ""
        start = self._line_ends[number - 1] + 1 if number else 0
        try:
            return os.pread(self._fd, self._line_ends[number] - start, self._text_at + start).decode(errors="replace")
        except OSError:
            return ""


def _line_ends(fd: int, offset: int, length: int) -> array[int]:
    text = os.pread(fd, length, offset)
    ends = array("I")
    at = text.find(b"\n")
    while at >= 0:
        ends.append(at)
        at = text.find(b"\n", at + 1)
    return ends


def build_index(root: Path, index_file: Path, state: tuple[int, int], *, pause_s: float = 0) -> None:
    """Read dpkg's lists and write the index in one rename, with a pause after each list.

    Raises OSError if the state directory cannot be written.
    """
    buckets = [array("Q") for _ in range(_BUCKETS)]
    names = sorted(f.name.removesuffix(".list") for f in (root / "info").glob("*.list"))[:_PACKAGES_MAX]
    for number, name in enumerate(names):
        for path in _paths_of(package_files(root, name, "list")):
            value = path_hash(path)
            buckets[value >> 40].append(value << _PACKAGE_BITS | number)
        if pause_s:
            time.sleep(pause_s)
    about = _read_status(root)
    text = "".join("\t".join((name, *about.get(name, about.get(name.partition(":")[0], ("", ""))))) + "\n" for name in names)
    _write(index_file, state, buckets, text.encode(errors="replace"), len(names))


def _write(index_file: Path, state: tuple[int, int], buckets: list[array[int]], text: bytes, packages: int) -> None:
    entries = sum(map(len, buckets))
    starts = array("I", [0])
    for bucket in buckets:
        starts.append(starts[-1] + len(bucket))
    index_file.parent.mkdir(parents=True, exist_ok=True)
    temporary = index_file.with_suffix(".new")
    with temporary.open("wb") as file:
        temporary.chmod(0o600)
        file.write(_HEADER.pack(_MAGIC, _VERSION, *state, entries, packages, len(text)))
        file.write(starts.tobytes())
        for bucket in buckets:
            file.write(array("Q", sorted(bucket)).tobytes())
        file.write(text)
    temporary.replace(index_file)


def _paths_of(list_file: str) -> Iterator[bytes]:
    try:
        with open(list_file, "rb") as file:  # noqa: PTH123 # thousands of them
            path = b""
            for line in file:
                following = line.rstrip(b"\n")
                # A directory is followed by what is in it.
                if path and not following.startswith(path + b"/"):
                    yield b"/usr" + path if path.startswith(MERGED) else path
                path = b"" if following.startswith(_NOT_PROGRAMS) or following == b"/." else following
            if path:
                yield b"/usr" + path if path.startswith(MERGED) else path
    except OSError:
        return


def _read_status(root: Path) -> dict[str, tuple[str, str]]:
    # deb822(5): "Field: value" lines, an empty line between packages. Read line by line: the file has megabytes.
    found: dict[str, tuple[str, str]] = {}
    fields: dict[str, str] = {}
    try:
        with (root / "status").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line == "\n":
                    _take(found, fields)
                    fields = {}
                elif line.startswith(("Package: ", "Section: ", "Description: ", "Architecture: ")):
                    name, _, value = line.partition(": ")
                    fields[name] = value.strip().replace("\t", " ")
    except OSError:
        return found
    _take(found, fields)
    return found


def _take(found: dict[str, tuple[str, str]], fields: dict[str, str]) -> None:
    if name := fields.get("Package", ""):
        about = (fields.get("Section", ""), fields.get("Description", "")[:_SUMMARY_CHARS])
        found.setdefault(name, about)
        found[f"{name}:{fields.get('Architecture', '')}"] = about
