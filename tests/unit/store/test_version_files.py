"""Versions on the disk: whole or not there, found damaged when they are, and never half in force."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.errors import StoreError
from brainkernel.store.versionfiles import CanaryState, Manifest, Origin, Pointer, VersionFiles
from support.interrupted import KilledError, interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

A = {"policy.json": b"{}", "rules.d/10-a.yaml": b"rules: []", "model.bin": b"m" * 1000}
B = A | {"policy.json": b'{"policy": 1}'}


def opened(directory: Path) -> VersionFiles:
    files = VersionFiles(directory / "versions")
    files.open()
    return files


def kept(files: VersionFiles, contents: dict[str, bytes], **changes: Any) -> Manifest:
    plain: dict[str, Any] = {"time_ns": 1, "parent": 0, "why": "a test", "by": "pytest", "source": "s"}
    return files.keep(contents, Origin(**(plain | changes)))


def in_force(number: int, **changes: Any) -> Pointer:
    plain: dict[str, Any] = {"number": number, "since_ns": 5, "why": "w", "by": "b", "source": "s"}
    return Pointer(**(plain | changes))


def test_version_comes_back_byte_for_byte(tmp_path: Path) -> None:
    """Also after a restart, with all that is known of it."""
    manifest = kept(opened(tmp_path), A, parent=0)

    files = opened(tmp_path)

    assert files.all() == [manifest]
    assert files.contents_of(manifest) == A


def test_same_content_is_the_same_version(tmp_path: Path) -> None:
    """A change that is taken back leads back to the earlier number."""
    files = opened(tmp_path)

    assert [kept(files, c).number for c in (A, B, A)] == [1, 2, 1]


def test_damage_to_one_version_is_its_own(tmp_path: Path) -> None:
    """Also where the next version holds the same file."""
    files = opened(tmp_path)
    first, second = kept(files, A), kept(files, B)
    (files.folder_of(second) / "model.bin").write_bytes(b"broken")

    assert files.contents_of(first) == A
    with pytest.raises(StoreError):
        files.contents_of(second)


@pytest.mark.parametrize("harm", [lambda f: f.write_bytes(b"x" * 1000), lambda f: f.write_bytes(b""), lambda f: f.unlink()])
def test_damaged_file_is_found(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """The message names it."""
    files = opened(tmp_path)
    manifest = kept(files, A)
    harm(files.folder_of(manifest) / "model.bin")

    with pytest.raises(StoreError, match=r"model\.bin: "):
        files.contents_of(manifest)


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b'{"number": 0}', b"\xff" * 100, b'{"number\xff": 1}', b"[]", b'{"number":1,"since_ns":NaN}']
)
def test_pointer_that_cannot_be_read_says_so(tmp_path: Path, garbage: bytes) -> None:
    """It is an error of its own, not the same as no pointer."""
    files = opened(tmp_path)
    assert files.pointer() is None
    (files.directory / "current.json").write_bytes(garbage)

    with pytest.raises(StoreError, match=r"current\.json: cannot be read"):
        files.pointer()


def test_manifest_that_cannot_be_read_hides_its_version_alone(tmp_path: Path) -> None:
    """The others are there, and the number is not given twice to another content."""
    files = opened(tmp_path)
    first, second = kept(files, A), kept(files, B)
    (files.folder_of(first) / "manifest.json").write_text("{")

    assert files.all() == [second]
    assert kept(files, A | {"x": b""}).number == 3


def test_version_before_one_that_cannot_be_read_is_the_next_older(tmp_path: Path) -> None:
    """A person who goes back from it does not skip one."""
    files = opened(tmp_path)
    manifests = [kept(files, A | {"policy.json": str(number).encode()}) for number in range(3)]
    (files.folder_of(manifests[2]) / "manifest.json").write_text("{")

    assert files.previous_of(in_force(3)) == 2


def test_prune_keeps_the_newest_and_what_is_in_force(tmp_path: Path) -> None:
    """The one in force may be old."""
    files = opened(tmp_path)
    for number in range(1, 8):
        kept(files, A | {"policy.json": str(number).encode()})

    files.prune(3, spare={2})

    assert [m.number for m in files.all()] == [2, 6, 7]
    assert len(list(files.directory.iterdir())) == 3


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [KilledError, lambda: OSError(errno.ENOSPC, "No space left on device")], ids=["killed", "disk full"])
def test_interrupted_anywhere_the_old_or_the_new_version_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException]
) -> None:
    """Killed or out of space before each system call of keeping a version and pointing at it: what is in force is whole."""
    old = tmp_path / "old"
    files = opened(old)
    first = kept(files, A)
    files.point(in_force(first.number))
    seen = set()
    for at in range(1000):
        work = tmp_path / f"at-{at}"
        shutil.copytree(old, work)
        damaged = VersionFiles(work / "versions")
        went_on = not interrupted(monkeypatch, at, error, lambda: damaged.point(in_force(kept(damaged, B).number)))  # noqa: B023
        again = opened(work)
        pointer = again.pointer()
        assert pointer is not None
        manifest = again.find(pointer.number)
        assert manifest is not None
        assert again.contents_of(manifest) == (A if pointer.number == 1 else B)
        assert [f.name for f in again.directory.iterdir() if f.name.endswith(".new")] == []
        assert kept(again, B).number == 2
        seen.add(pointer.number)
        if went_on:
            break
    else:
        pytest.fail("it never got through")

    assert seen == {1, 2}
    assert at > 10


def test_version_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a version would fill the disk even more."""
    files = opened(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        kept(files, A)

    assert list(files.directory.iterdir()) == []


def test_pointer_keeps_all_it_is_told(tmp_path: Path) -> None:
    """Canary and what was withdrawn included."""
    files = opened(tmp_path)
    pointer = in_force(3, canary=CanaryState(4, 0.1, 7), withdrawn=(5, 6))

    files.point(pointer)

    assert opened(tmp_path).pointer() == pointer
