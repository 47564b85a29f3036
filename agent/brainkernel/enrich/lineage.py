"""The programs above a process, nearest first, from the process table and, where it ends, from /proc."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.enrich.procfs import ProcFs
    from brainkernel.enrich.table import ProcessTable
    from brainkernel.model import Exec, ProcessKey

PARENTS_MAX = 8  # what a question to an LLM may hold; beyond, only session plumbing and init


def parents_of(exec_: Exec, table: ProcessTable, proc: ProcFs) -> tuple[str, ...]:
    """The exes of the ancestors of a program that has just begun, nearest first.

    Dead ancestors are named too as long as the table remembers them. An ancestor whose exe cannot be had is left out;
    where the table ends, /proc goes on, and what it says is added to the table.
    """
    if exec_.parent is None:
        return (exec_.parent_exe,) if exec_.parent_exe else ()
    found = [exec_.parent_exe] if exec_.parent_exe else []
    key: ProcessKey | None = exec_.parent
    first = True
    while key is not None and len(found) < PARENTS_MAX:
        known = table.get(key)
        if known is None or not known.exe or (known.parent is None and key.tgid > 1):
            read_into_table(key, table, proc)
            known = table.get(key)
        if known is None:
            break
        if known.exe and not (first and exec_.parent_exe):
            found.append(known.exe)
        first = False
        key = known.parent
    return tuple(found)


def read_into_table(key: ProcessKey, table: ProcessTable, proc: ProcFs) -> None:
    """Look a living process up in /proc and note it; nothing if it is gone or its pid is another's by now."""
    stat = proc.read_stat(key.tgid)
    if stat is None or stat.key != key:
        return
    exe = proc.read_exe(key.tgid) or ""
    parent = proc.read_key(stat.ppid) if stat.ppid > 0 else None
    if parent is not None and parent.start_ns > key.start_ns:
        parent = None  # the pid of a parent that died meanwhile, taken by somebody younger
    if proc.read_key(key.tgid) == key:
        table.add(key, exe, parent)
