"""Makes the records that the kernel would send."""

from __future__ import annotations

from brainkernel.sense import wire


def an_ancestor(tgid: int = 10, start_ns: int = 1, ino: int = 5, comm: bytes = b"sh") -> bytes:
    """One struct ancestor."""
    return wire.ANCESTOR.struct.pack(start_ns, ino, 6, 7, 0, tgid, 0, comm)


def an_exec_record(
    *,
    argv: bytes = b"tool\0",
    filename: bytes = b"/usr/bin/tool",
    lineage: tuple[bytes, ...] = (),
    comm: bytes = b"tool",
    tgid: int = 4711,
    ino: int = 3,
    flags: int = 0,
    argv_total: int | None = None,
    argv_hash: int = 0,
    uid: int = 1000,
    tty: int = 0,
    loginuid: int = wire.NO_LOGINUID,
    sessionid: int = wire.NO_SESSIONID,
) -> bytes:
    """One struct exec_event with its payload."""
    fixed = wire.EXEC.struct.pack(
        *(60, 50, tgid, wire.Kind.EXEC, 40),
        *(ino, 2, 1, 0, argv_hash),
        *(uid, uid, loginuid, tty),
        *(len(argv) if argv_total is None else argv_total, len(argv), len(filename), flags, len(lineage), sessionid, 0, comm),
    )
    return fixed + b"".join(lineage) + filename + argv


def a_task_record(*, tgid: int = 100, pid: int | None = None, cpu_ns: int = 0, delay_ns: int = 0, pages: int = 0) -> bytes:
    """One struct task_record."""
    return wire.TASK.struct.pack(50, cpu_ns, delay_ns, 40, pages, 0, tgid, tgid if pid is None else pid, 1, 1000, b"worker")
