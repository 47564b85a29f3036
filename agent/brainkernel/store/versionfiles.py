"""Versions on the disk: a folder for each, named by its content, and one small file that says which is in force.

    versions/3-5f0c2a9d1b7e/     policy.json strategy.json rules.d/ model.bin caution.json, and manifest.json
    versions/current.json        the pointer

A folder is complete before it has its name, and is never changed; the pointer is replaced as a whole (fsync, rename,
fsync of the directory). Whatever moment the power fails at, the old version is in force or the new one.
"""

from __future__ import annotations

import os
import shutil
from _blake2 import blake2b  # hashlib loads OpenSSL: 3.6 MB of the daemon's memory
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from brainkernel.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_MANIFEST, _POINTER = "manifest.json", "current.json"
_UNFINISHED = ".new"
_DIGEST_BYTES = 12
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)  # what damaged JSON makes msgspec raise

Number = Annotated[int, Meta(ge=1)]


class Origin(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where a version came from."""

    time_ns: int  # CLOCK_REALTIME
    parent: int = 0  # in force when this one was made; 0: none
    why: str
    by: str
    source: str  # digest of what the files on the disk and the package said when it was made
    shipped: str = ""  # digest of the package's model then


class Manifest(Origin, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A version: its number, its origin and what it holds."""

    number: Number
    files: dict[str, str]  # name -> digest of its content


class CanaryState(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A version that decides about a share of all programs first."""

    number: Number
    share: Annotated[float, Meta(gt=0, lt=1)]
    since_ns: int  # CLOCK_REALTIME


class Pointer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True, kw_only=True):
    """Which version is in force, and since when. `source` is what the files said then: other files are a new version."""

    number: Number
    since_ns: int  # CLOCK_REALTIME
    why: str
    by: str
    source: str
    canary: CanaryState | None = None
    withdrawn: tuple[int, ...] = ()  # left because they did worse: not taken up again by themselves
    blamed: int = 0  # the one of these that an alert took back last; 0: none since the latest change


def digest_of(data: bytes) -> str:
    """The name of a content."""
    return blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def digest_of_files(digests: Mapping[str, str]) -> str:
    """The name of several contents with their names."""
    return digest_of("\n".join(f"{name} {digest}" for name, digest in sorted(digests.items())).encode())


class VersionFiles:
    """The folder `versions` of a state directory, which its owner has locked. Methods raise StoreError for what the disk does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self) -> None:
        """Make the folder if it is absent, and remove what a crash left unfinished."""
        with _of_the_disk(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self.directory.glob(f"*{_UNFINISHED}"):
                _remove(left)

    def all(self) -> list[Manifest]:
        """Every version whose manifest can be read, oldest first."""
        found = []
        for folder in self._folders():
            with suppress(OSError, *_UNREADABLE):
                found.append(msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest))
        return sorted(found, key=lambda manifest: manifest.number)

    def find(self, number: int) -> Manifest | None:
        """One version; None if there is none of this number (any more)."""
        return next((manifest for manifest in self.all() if manifest.number == number), None)

    def keep(self, contents: Mapping[str, bytes], origin: Origin) -> Manifest:
        """Write a version; one of the same content and source that is there already, and whole, is returned as it is."""
        digests = {name: digest_of(data) for name, data in contents.items()}
        for manifest in self.all():
            if manifest.files == digests and manifest.source == origin.source and self._is_whole(manifest):
                return manifest
        manifest = Manifest(number=self._next_number(), files=digests, **msgspec.structs.asdict(origin))
        number = manifest.number
        unfinished = self.directory / f"{number}{_UNFINISHED}"
        try:
            with _of_the_disk(unfinished):
                _remove(unfinished)
                self._fill(unfinished, contents, manifest)
                unfinished.rename(self.folder_of(manifest))
                _sync(self.directory)
        except StoreError:
            with suppress(OSError):  # half a version must not fill a full disk
                _remove(unfinished)
            raise
        return manifest

    def contents_of(self, manifest: Manifest) -> dict[str, bytes]:
        """All files of a version, each looked through. Raises StoreError if one is missing or damaged."""
        contents = {}
        folder = self.folder_of(manifest)
        for name, digest in manifest.files.items():
            with _of_the_disk(folder / name):
                contents[name] = (folder / name).read_bytes()
            if digest_of(contents[name]) != digest:
                msg = f"{folder / name}: damaged, its content is not what was written"
                raise StoreError(msg)
        return contents

    def pointer(self) -> Pointer | None:
        """What is in force; None before the first version. Raises StoreError for a pointer that cannot be read."""
        path = self.directory / _POINTER
        try:
            return msgspec.json.decode(path.read_bytes(), type=Pointer)
        except FileNotFoundError:
            return None
        except (OSError, *_UNREADABLE) as error:
            msg = f"{path}: cannot be read: {error}"
            raise StoreError(msg) from None

    def point(self, pointer: Pointer) -> None:
        """Put another version in force for the next start, at once and as a whole."""
        path = self.directory / _POINTER
        unfinished = path.with_name(f"{_POINTER}{_UNFINISHED}")
        with _of_the_disk(path):
            _write(unfinished, msgspec.json.encode(pointer))
            unfinished.rename(path)
            _sync(self.directory)

    def prune(self, keep: int, spare: set[int]) -> None:
        """Remove the oldest versions beyond `keep`, but none of `spare`."""
        removable = [manifest for manifest in self.all() if manifest.number not in spare]
        for manifest in removable[: max(0, len(removable) + len(spare) - keep)]:
            folder = self.folder_of(manifest)
            with _of_the_disk(folder):
                # First out of sight: half a version must not be found.
                _remove(folder.rename(folder.with_name(f"{folder.name}{_UNFINISHED}")))

    def line_of(self, number: int) -> list[int]:
        """A version, the one it was made from, and so on; then all others, the newest first."""
        manifests = {manifest.number: manifest for manifest in reversed(self.all())}
        line = []
        while (manifest := manifests.pop(number, None)) is not None:
            line.append(number)
            number = manifest.parent
        return [*line, *manifests]

    def previous_of(self, pointer: Pointer) -> int:
        """The version to go back to from the one in force. Raises UsageError if there is none."""
        for number in self.line_of(pointer.number):
            if number < pointer.number and number not in pointer.withdrawn:
                return number
        msg = f"there is no version before {pointer.number}"
        raise UsageError(msg)

    def folder_of(self, manifest: Manifest) -> Path:
        """Where a version lies."""
        return self.directory / f"{manifest.number}-{digest_of_files(manifest.files)}"

    def _is_whole(self, manifest: Manifest) -> bool:
        try:
            self.contents_of(manifest)
        except StoreError:
            return False
        return True

    # By the folders' names, so that a version whose manifest cannot be read keeps its number.
    def _next_number(self) -> int:
        return max((int(number) for folder in self._folders() if (number := folder.name.partition("-")[0]).isdecimal()), default=0) + 1

    def _folders(self) -> Iterator[Path]:
        return (folder for folder in self.directory.glob("*-*") if not folder.name.endswith(_UNFINISHED))

    # Each version has files of its own, although most are those of the one before: links would share the damage, too.
    def _fill(self, folder: Path, contents: Mapping[str, bytes], manifest: Manifest) -> None:
        for name, data in contents.items():
            file = folder / name
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(file, data)
        _write(folder / _MANIFEST, msgspec.json.encode(manifest))
        for directory in {file.parent for file in map(folder.joinpath, contents)} | {folder}:
            _sync(directory)


# What the disk does becomes a sentence that names the file.
@contextmanager
def _of_the_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"{path}: {error.strerror or error}"
        raise StoreError(msg) from None


def _write(file: Path, data: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
