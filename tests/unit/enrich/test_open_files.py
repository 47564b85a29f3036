"""What a process has open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from brainkernel.enrich.procfs import read_open_files

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MANY = 5_000


def test_open_files_of_a_process_with_very_many_are_not_all_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a million descriptors, open to any service, must not hold the loop up: what is not wanted is not asked for."""
    handed_out = 0
    scandir = os.scandir

    class Counting:
        def __init__(self, path: str) -> None:
            self._entries = scandir(path)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._entries.close()

        def __iter__(self) -> Self:
            return self

        def __next__(self) -> os.DirEntry[str]:
            nonlocal handed_out
            handed_out += 1
            return next(self._entries)

    monkeypatch.setattr(os, "scandir", Counting)
    null = os.open("/dev/null", os.O_RDONLY)
    copies = [os.dup(null) for _ in range(MANY)]
    found = list(read_open_files(f"/proc/{os.getpid()}/fd", 20))
    for descriptor in (null, *copies):
        os.close(descriptor)

    assert len(found) == 20
    assert handed_out <= 21


def test_open_files_are_numbers_and_what_is_open_there(tmp_path: Path) -> None:
    """As the links say; what cannot be read is left out, and of a process that is gone there is nothing."""
    (tmp_path / "3").symlink_to("socket:[4711]")
    (tmp_path / "4").write_text("no link")

    assert list(read_open_files(str(tmp_path), 10)) == [("3", "socket:[4711]")]
    assert list(read_open_files(str(tmp_path / "gone"), 10)) == []
