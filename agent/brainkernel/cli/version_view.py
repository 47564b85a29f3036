"""What `versions`, `diff` and `rollback` read, and how versions look to people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from brainkernel.cli import control_client
from brainkernel.errors import DaemonNotRunningError, PermissionDeniedError, StoreError, UsageError
from brainkernel.escape import escaped
from brainkernel.link import versions
from brainkernel.versioning import comparing, offline
from brainkernel.versioning.answering import state_of

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.link.versions import Arm, VersionsState
    from brainkernel.versioning.comparing import Difference


def state(runtime_dir: Path, state_dir: Path) -> VersionsState:
    """What the daemon says, or where none runs, what the disk says. Raises DaemonNotRunningError if that has no version."""
    try:
        return control_client.ask(runtime_dir, versions.VERSIONS, versions.VersionsState)
    except DaemonNotRunningError:
        if not is_kept(state_dir):
            raise
        return from_disk(state_dir)


def is_kept(state_dir: Path) -> bool:
    """Whether a state directory has versions. Raises PermissionDeniedError where that cannot be seen."""
    directory = offline.files_of(state_dir).directory
    try:
        return any(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        msg = f"{directory} is root's, and no daemon answers for it"
        raise PermissionDeniedError(msg) from None
    except OSError as error:
        msg = f"{directory}: {error.strerror or error}"
        raise StoreError(msg) from None


def from_disk(state_dir: Path) -> VersionsState:
    """What is kept there. Raises StoreError."""
    files = offline.files_of(state_dir)
    return state_of(files, files.pointer(), {})


def differences(state_dir: Path, a: int, b: int) -> list[Difference]:
    """What differs between two kept versions. Raises UsageError for one that is not there, StoreError for a damaged one."""
    if not is_kept(state_dir):
        msg = f"{offline.files_of(state_dir).directory}: no version is kept here; --state-dir names another directory"
        raise StoreError(msg)
    files = offline.files_of(state_dir)
    contents = []
    for number in (a, b):
        if (manifest := files.find(number)) is None:
            msg = f"there is no version {number} (any more); `brainkernel versions` lists them"
            raise UsageError(msg)
        contents.append(files.contents_of(manifest))
    return comparing.compare(*contents)


def lines_of(state: VersionsState) -> list[str]:
    """For people, newest first."""
    lines = [f"{'VERSION':>7}  {'MADE':<17}{'STATE':<14}{'WRONG LIMITS':<26}WHY"]
    for row in state.versions:
        made = datetime.fromtimestamp(row.time_ns / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        said = f"canary {100 * state.canary_share:g} %" if row.number == state.canary else row.state
        by = "" if row.by == "brainkernel" else f" (by {row.by})"
        lines.append(f"{row.number:>7}  {made:<17}{said:<14}{_wrong(row.arm):<25} {escaped(row.why)}{by}")
    lines += ["", _in_force(state)]
    lines += [f"note: {escaped(note)}" for note in state.notes]
    lines += [f"learning {escaped(text)}" for text in state.learning]
    return lines


def _in_force(state: VersionsState) -> str:
    if not state.in_force:
        return "no version is in force: the files and the package decide"
    since = datetime.fromtimestamp(state.since_ns / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"version {state.in_force} is in force since {since}: {escaped(state.why)} (by {state.by})"


def _wrong(arm: Arm) -> str:
    limits = f", {arm.limits} of {arm.decisions}" if arm.decisions else ""
    if arm.wrong is None or arm.low is None or arm.high is None:
        return f"not enough data{limits}" if arm.samples or limits else "-"
    return f"{100 * arm.wrong:.0f} % ({100 * arm.low:.0f}-{100 * arm.high:.0f}){limits}"
