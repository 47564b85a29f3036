"""Going back to a version while no agent runs: it is in force at the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from brainkernel.config import Store as StoreConfig
from brainkernel.errors import StoreError, UsageError
from brainkernel.store import open_store
from brainkernel.store.versionfiles import VersionFiles
from brainkernel.versioning.versioning import entry_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.clock import Clock

DIRECTORY = "versions"  # of the state directory


def files_of(state_dir: Path) -> VersionFiles:
    """The versions of a state directory."""
    return VersionFiles(state_dir / DIRECTORY)


def rollback(state_dir: Path, number: int | None, by: str, clock: Clock, tell: Callable[[str], None]) -> str:
    """Point at an earlier version, and write down who did it. Raises UsageError, and StoreError if an agent runs after all."""
    files = files_of(state_dir)
    store = open_store(state_dir, StoreConfig(), clock, tell)  # holds the lock of the directory meanwhile
    try:
        if (pointer := files.pointer()) is None:
            msg = f"{files.directory}: no version is kept here"
            raise StoreError(msg)
        target = files.previous_of(pointer) if number is None else number
        if target == pointer.number:
            msg = f"version {target} is in force already"
            raise UsageError(msg)
        if (manifest := files.find(target)) is None:
            msg = f"there is no version {target} (any more); `brainkernel versions` lists them"
            raise UsageError(msg)
        files.contents_of(manifest)
        why = f"rolled back from version {pointer.number}"
        left = tuple(n for n in pointer.withdrawn if n != target)
        files.point(msgspec.structs.replace(pointer, number=target, since_ns=clock.wall_ns(), why=why, by=by, canary=None, withdrawn=left))
        text = f"version {target} is in force at the next start, {why}"
        store.audit.add(entry_of(text, by, clock.wall_ns()))
    finally:
        store.close()
    return text
