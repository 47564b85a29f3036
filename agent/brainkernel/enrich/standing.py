"""How a process stands right now with the scheduler and its terminal: read only when a limit is at stake."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from brainkernel.model import CLOCK_TICK_NS, ProcessKey, Standing

if TYPE_CHECKING:
    from pathlib import Path

_ENVIRONMENT_BYTES = 1 << 17  # as long as any one string of it may be (MAX_ARG_STRLEN)
# Field numbers of proc_pid_stat(5), counted from the state (field 3), which follows the last ')'.
_PGRP, _SESSION, _TTY, _TPGID, _FLAGS, _NICE, _START, _POLICY = 2, 3, 4, 5, 6, 16, 19, 38


def read_standing(proc_root: Path, key: ProcessKey) -> Standing | None:
    """Read the standing of a process; None if it ended, also when its pid is another process by now."""
    try:
        stat = (proc_root / str(key.tgid) / "stat").read_bytes()
        affinity = _cpus_allowed(proc_root, key.tgid)
        everyone = _cpus_allowed(proc_root, 1)
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(b")")[2].split()
    if int(fields[_START]) * CLOCK_TICK_NS != key.start_ns:
        return None
    pgrp, session, tpgid = int(fields[_PGRP]), int(fields[_SESSION]), int(fields[_TPGID])
    return Standing(
        flags=int(fields[_FLAGS]),
        nice=int(fields[_NICE]),
        policy=int(fields[_POLICY]),
        affinity_restricted=affinity != everyone,
        leads_session=session == key.tgid and int(fields[_TTY]) != 0,
        # A shell without job control leaves all its children in its own group, in the foreground or not.
        owns_terminal=tpgid == pgrp != session,
        game_mode=_runs_in_game_mode(proc_root, key.tgid),
    )


def _runs_in_game_mode(proc_root: Path, tgid: int) -> bool:
    # gamemoderun is nobody's ancestor: it preloads a library and becomes the program, whose children inherit that.
    try:
        with (proc_root / str(tgid) / "environ").open("rb") as file:
            variables = file.read(_ENVIRONMENT_BYTES).split(b"\0")
    except OSError:
        return False  # gone, or not ours to read: what it started with is not known
    return any(variable.startswith(b"LD_PRELOAD=") and b"libgamemodeauto" in variable for variable in variables)


def _cpus_allowed(proc_root: Path, tgid: int) -> bytes:
    status = (proc_root / str(tgid) / "status").read_bytes()
    return next((line.split()[1] for line in status.splitlines() if line.startswith(b"Cpus_allowed:")), b"")


def own_family(proc_root: Path) -> frozenset[int]:
    """The pids of this process and all its ancestors: what must never be limited by it."""
    pids, pid = set(), os.getpid()
    while pid > 0 and pid not in pids:
        pids.add(pid)
        try:
            stat = (proc_root / str(pid) / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            break
        pid = int(stat.rpartition(b")")[2].split()[1])
    return frozenset(pids)
