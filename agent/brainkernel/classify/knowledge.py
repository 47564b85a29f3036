"""What the distribution's own metadata says about programs: their package, and what kind of program that makes them.

The data file is built by `scripts/train` and read where it lies: sorted lines cut into blocks, each compressed by
itself, found by bisection over the blocks' first keys. A lookup inflates one block; a handful are kept.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.classify.paths import without_versions
from brainkernel.errors import ConfigError
from brainkernel.model import Category, Package

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIPPED_FILE = Path(__file__).parent / "knowledge.bin"
MAGIC = b"BKKNOW01"
_HEADER = struct.Struct("<8sII")  # magic, length of the compressed index, length of the dictionary
_BLOCKS_KEPT = 12
_ANSWERS_KEPT = 2048
_CATEGORY_OF = {
    "c": Category.SYSTEM_CRITICAL,
    "i": Category.INTERACTIVE,
    "s": Category.SERVICE,
    "d": Category.DEVELOPMENT,
    "b": Category.BACKGROUND,
    "w": Category.BLOATWARE,
    "-": Category.UNKNOWN,
}
LETTER_OF = {category: letter for letter, category in _CATEGORY_OF.items()}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one program. `confidence` is 0 where the package serves several uses."""

    package: str
    category: Category
    confidence: float


class Knowledge:
    """The shipped table, or an empty one. Lookups never fail: what is not in it is None."""

    def __init__(self, file: Path | None = SHIPPED_FILE) -> None:
        """Open the table; None for one that knows nothing. Raises ConfigError if the file is not such a table."""
        self._data: mmap.mmap | None = None
        self._firsts: list[bytes] = []
        self._spans: list[tuple[int, int]] = []
        self._dictionary = b""
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._answers: OrderedDict[str, Known | None] = OrderedDict()
        if file is not None:
            self._open(file)

    def _open(self, file: Path) -> None:
        try:
            with file.open("rb") as stream:
                data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            magic, index_length, dictionary_length = _HEADER.unpack_from(data)
            if magic != MAGIC:
                msg = f"{file}: not a table of knowledge; rebuild it with scripts/train"
                raise ConfigError(msg)
            start = _HEADER.size + index_length
            index = zlib.decompress(data[_HEADER.size : start])
        except (OSError, ValueError, struct.error, zlib.error) as error:
            msg = f"{file}: cannot be read ({error}); rebuild it with scripts/train"
            raise ConfigError(msg) from None
        self._dictionary = data[start : start + dictionary_length]
        offset = start + dictionary_length
        for line in index.splitlines():
            length, _, first = line.partition(b" ")
            self._firsts.append(first)
            self._spans.append((offset, int(length)))
            offset += int(length)
        self._data = data

    def find(self, path: str) -> Known | None:
        """What is known of the program at a normalised path, by itself or by the directory it lies in."""
        if path in self._answers:
            self._answers.move_to_end(path)
            return self._answers[path]
        answer = self._find(path) if path.startswith("/") else None
        self._answers[path] = answer
        if len(self._answers) > _ANSWERS_KEPT:
            self._answers.popitem(last=False)
        return answer

    def package_of(self, path: str) -> Package | None:
        """The package that ships the program at a normalised path, with section and summary."""
        known = self.find(path)
        if known is None:
            return None
        line = self._line(f"={known.package}")
        section, _, summary = (line or "").partition("\t")
        return Package(name=known.package, section=section, summary=summary)

    def paths(self) -> Iterator[str]:
        """Every key of the table: programs, and directories with a trailing slash. For training, not for the daemon."""
        for number in range(len(self._firsts)):
            for line in self._block(number).decode("utf-8", "surrogateescape").splitlines():
                if line.startswith("/"):
                    yield line.partition("\t")[0]

    def _find(self, path: str) -> Known | None:
        for key in _keys_of(path):
            line = self._line(key)
            if line is not None:
                package, _, code = line.partition("\t")
                return Known(package, _CATEGORY_OF[code[0]], int(code[1:] or "0") / 100)
        return None

    def _line(self, key: str) -> str | None:
        wanted = key.encode("utf-8", "surrogateescape")
        number = bisect_right(self._firsts, wanted) - 1
        if number < 0 or b"\n" in wanted or b"\t" in wanted:
            return None
        block = self._block(number)
        at = block.find(b"\n" + wanted + b"\t")
        if at < 0:
            return None
        start = at + len(wanted) + 2
        return block[start : block.index(b"\n", start)].decode()

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None and self._data is not None:
            offset, length = self._spans[number]
            inflate = zlib.decompressobj(zdict=self._dictionary)
            block = inflate.decompress(self._data[offset : offset + length])
            self._blocks[number] = block
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        elif block is not None:
            self._blocks.move_to_end(number)
        return block or b""


# A program by its path, under /usr/local as in /usr, then the directories it lies in (with a trailing slash).
def _keys_of(path: str) -> list[str]:
    path = without_versions(path)
    keys = [path]
    if path.startswith("/usr/local/"):
        keys.append("/usr/" + path.removeprefix("/usr/local/"))
    elif path.startswith("/snap/"):
        _, _, name, _, *inside = path.split("/", 4) if path.count("/") > 3 else (*path.split("/", 3), "")  # noqa: PLR2004
        keys += [f"/{i}" for i in inside if i] + [f"/usr/bin/{name}"]
    directory = path.rpartition("/")[0]
    while directory.count("/") >= 3:  # noqa: PLR2004 # /usr/lib/x is the shallowest that says something
        keys.append(directory + "/")
        directory = directory.rpartition("/")[0]
    return keys
