"""The records of bpf/event.h as Python values, and back for what user space writes into maps. Pure.

Each struct is declared field by field, so that tests/kernel/test_abi.py can hold it against the BTF of the object.
A record that is not of the ABI raises WireError and nothing else.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from brainkernel.model import FileId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class WireError(ValueError):
    """These bytes are no record of ours."""


class Layout:
    """One struct of bpf/event.h: names and types of its fields, in `struct` module letters."""

    def __init__(self, name: str, *fields: tuple[str, str]) -> None:
        """Make one; the struct has no hidden padding, so `<` gives the compiler's offsets."""
        self.name = name
        self.fields = fields
        self.struct = struct.Struct("<" + "".join(letters for _, letters in fields))
        self.size = self.struct.size

    @property
    def letters(self) -> str:
        """For a struct that contains this one."""
        return self.struct.format.removeprefix("<")

    def offsets(self) -> Iterator[tuple[str, int, int]]:
        """Name, offset and size of each field."""
        offset = 0
        for name, letters in self.fields:
            size = struct.calcsize("<" + letters)
            yield name, offset, size
            offset += size


COMM_BYTES = 16
LINEAGE_MAX = 7
FILENAME_BYTES = 1024
ARGV_BYTES = 4096
ARGV_HASHED_BYTES = 512
WAIT_SLOTS = 64
NO_LOGINUID = NO_SESSIONID = 0xFFFF_FFFF

FILE_ID = Layout("file_id", ("ino", "Q"), ("ctime_ns", "Q"), ("dev", "I"), ("zero", "I"))
HEADER = Layout("event_header", ("time_ns", "Q"), ("start_ns", "Q"), ("tgid", "I"), ("kind", "I"), ("cgroup_id", "Q"))
ANCESTOR = Layout("ancestor", ("start_ns", "Q"), ("exe", FILE_ID.letters), ("tgid", "I"), ("zero", "I"), ("comm", "16s"))
EXEC = Layout(
    "exec_event",
    ("header", HEADER.letters),
    ("exe", FILE_ID.letters),
    ("argv_hash", "Q"),
    ("uid", "I"),
    ("euid", "I"),
    ("loginuid", "I"),
    ("tty", "I"),
    ("argv_total_bytes", "I"),
    ("argv_bytes", "H"),
    ("filename_bytes", "H"),
    ("flags", "I"),
    ("lineage_count", "I"),
    ("sessionid", "I"),
    ("zero", "I"),
    ("comm", "16s"),
)  # payload follows
EXIT = Layout(
    "exit_event",
    ("header", HEADER.letters),
    ("cpu_ns", "Q"),
    ("run_delay_ns", "Q"),
    ("max_rss_pages", "Q"),
    ("exit_code", "I"),
    ("zero", "I"),
)
FORK = Layout("fork_event", ("header", HEADER.letters), ("parent_start_ns", "Q"), ("parent_tgid", "I"), ("zero", "I"))
TASK = Layout(
    "task_record",
    ("start_ns", "Q"),
    ("cpu_ns", "Q"),
    ("run_delay_ns", "Q"),
    ("cgroup_id", "Q"),
    ("rss_pages", "Q"),
    ("reaped_ns", "Q"),
    ("tgid", "I"),
    ("pid", "I"),
    ("parent_tgid", "I"),
    ("uid", "I"),
    ("comm", "16s"),
)
IDENTITY = Layout("identity", ("exe", FILE_ID.letters), ("parent_ino", "Q"), ("parent_dev", "I"), ("uid", "I"))
INVOCATION = Layout("invocation", ("program", IDENTITY.letters), ("argv_hash", "Q"))
KNOWN = Layout("known_program", ("count", "Q"), ("flags", "I"), ("zero", "I"))
BUCKET = Layout("bucket", ("due_ns", "Q"), ("suppressed", "Q"))
FATES = Layout("fates", *((name, "Q") for name in ("seen", "own", "known", "submitted", "suppressed", "failed")))
COUNTERS = Layout(
    "cpu_counters",
    ("exec", FATES.letters),
    ("exit", FATES.letters),
    ("fork", FATES.letters),
    ("wakeups", "Q"),
    ("failures", "5Q"),
    ("spare", "8Q"),
)
WAITS = Layout("wait_histogram", ("slots", f"{WAIT_SLOTS}Q"))
SETTINGS = Layout(
    "settings",
    ("token_interval_ns", "Q"),
    ("token_depth_ns", "Q"),
    ("wake_bytes", "Q"),
    ("argv_key", "2Q"),
    ("all_events", "I"),
    ("abi", "I"),
)
ABI = 0x6BB68569  # of bpf/event.h, as scripts/build-bpf writes it into what it makes
LAYOUTS = (FILE_ID, HEADER, ANCESTOR, EXEC, EXIT, FORK, TASK, IDENTITY, INVOCATION, KNOWN, BUCKET, FATES, COUNTERS, WAITS, SETTINGS)

FAILURES = ("ring_full", "argv_fault", "filename_fault", "track", "bucket")  # enum failure, in its order


class Kind(enum.IntEnum):
    """Enum event_kind."""

    EXEC = 1
    EXIT = 2
    FORK = 3


class ExecFlag(enum.IntFlag):
    """Enum exec_flags."""

    REMEMBERED = 1 << 0
    UNLINKED = 1 << 1
    MEMFD = 1 << 2
    SCRIPT = 1 << 3
    FILENAME_CUT = 1 << 4
    ARGV_FAULT = 1 << 5
    OVERLAY_UPPER = 1 << 6


class Ability(enum.IntFlag):
    """Enum abilities."""

    QUEUE_CLOCK = 1 << 0
    RSS = 1 << 1
    RUN_DELAY = 1 << 2


KNOWN_ALWAYS = 1 << 0


class ExecRecord(msgspec.Struct, frozen=True, gc=False):
    """An exec as the kernel told it, strings decoded with surrogateescape.

    `exe` and `lineage` stay bytes: both repeat from record to record, so whoever decodes them does it once.
    """

    time_ns: int
    start_ns: int
    cgroup_id: int
    tgid: int
    exe: bytes  # for file_id_of
    argv_hash: int  # 0: none
    uid: int
    euid: int
    loginuid: int
    tty: int
    flags: int  # ExecFlag
    argv_cut: bool
    comm: str
    filename: str
    argv: tuple[str, ...]
    lineage: bytes  # for ancestors_of
    sessionid: int = NO_SESSIONID


class ExitRecord(msgspec.Struct, frozen=True, gc=False):
    """An exit as the kernel told it."""

    time_ns: int
    start_ns: int
    tgid: int
    exit_code: int
    cpu_ns: int = 0
    run_delay_ns: int = 0
    max_rss_pages: int = 0


class ForkRecord(msgspec.Struct, frozen=True, gc=False):
    """A fork as the kernel told it."""

    time_ns: int
    start_ns: int
    tgid: int
    parent_start_ns: int
    parent_tgid: int


class AncestorRecord(NamedTuple):
    """One process above the one that execs; `file` is None for a kernel thread."""

    start_ns: int
    tgid: int
    file: FileId | None
    comm: str


class TaskRecord(NamedTuple):
    """One thread of a snapshot."""

    start_ns: int
    cpu_ns: int
    run_delay_ns: int
    cgroup_id: int
    rss_pages: int
    reaped_ns: int
    tgid: int
    pid: int
    parent_tgid: int
    uid: int
    comm: bytes


Record = ExecRecord | ExitRecord | ForkRecord

_U64 = struct.Struct("<Q")
_unpack_exec = EXEC.struct.unpack_from
_unpack_exit = EXIT.struct.unpack_from
_unpack_fork = FORK.struct.unpack_from
_EXEC_SIZE = EXEC.size
_EXE = slice(HEADER.size, HEADER.size + FILE_ID.size)
KIND_AT, CGROUP_AT = (next(offset for name, offset, _ in HEADER.offsets() if name == field) for field in ("kind", "cgroup_id"))
_KIND_EXEC, _KIND_EXIT, _KIND_FORK = int(Kind.EXEC), int(Kind.EXIT), int(Kind.FORK)  # an enum's value costs 100 ns


def record_of(data: bytes) -> Record:
    """Decode one record of the ring buffer. Raises WireError."""
    kind = data[KIND_AT] if len(data) > KIND_AT else 0
    if kind == _KIND_EXEC:
        return _exec_of(data)
    if kind == _KIND_EXIT and len(data) == EXIT.size:
        time_ns, start_ns, tgid, _, _, cpu_ns, run_delay_ns, max_rss_pages, exit_code, _ = _unpack_exit(data)
        return ExitRecord(time_ns, start_ns, tgid, exit_code, cpu_ns, run_delay_ns, max_rss_pages)
    if kind == _KIND_FORK and len(data) == FORK.size:
        time_ns, start_ns, tgid, _, _, parent_start_ns, parent_tgid, _ = _unpack_fork(data)
        return ForkRecord(time_ns, start_ns, tgid, parent_start_ns, parent_tgid)
    msg = f"kind {kind} of {len(data)} bytes is no record"
    raise WireError(msg)


def ended_in(batch: Iterable[bytes]) -> set[tuple[int, int]]:
    """The processes whose exit is in a batch, by tgid and start."""
    exits = (_unpack_exit(data) for data in batch if len(data) == EXIT.size and data[KIND_AT] == _KIND_EXIT)
    return {(tgid, start_ns) for _, start_ns, tgid, *_ in exits}


def _exec_of(data: bytes) -> ExecRecord:
    if len(data) < _EXEC_SIZE:
        msg = f"an exec record of {len(data)} bytes is cut"
        raise WireError(msg)
    (
        time_ns, start_ns, tgid, _, cgroup_id, _, _, _, _, argv_hash,
        uid, euid, loginuid, tty, argv_total, argv_bytes, filename_bytes, flags, ancestors, sessionid, _, comm,
    ) = _unpack_exec(data)  # fmt: skip
    filename_at = _EXEC_SIZE + ancestors * ANCESTOR.size
    argv_at = filename_at + filename_bytes
    if argv_at + argv_bytes != len(data):
        msg = f"an exec record of {len(data)} bytes does not hold what it names"
        raise WireError(msg)
    return ExecRecord(
        time_ns,
        start_ns,
        cgroup_id,
        tgid,
        data[_EXE],
        argv_hash,
        uid,
        euid,
        loginuid,
        tty,
        flags,
        argv_total > argv_bytes,
        comm_of(comm),
        data[filename_at:argv_at].decode("utf-8", "surrogateescape"),
        argv_of(data[argv_at:]),
        data[_EXEC_SIZE:filename_at],
        sessionid,
    )


def comm_of(raw: bytes) -> str:
    """A thread's name out of its 16 bytes; what follows the first 0 is not part of it."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def argv_of(raw: bytes) -> tuple[str, ...]:
    """The strings between arg_start and arg_end: each ends with a 0, the last one may have been cut."""
    if not raw:
        return ()
    return tuple(raw.removesuffix(b"\0").decode("utf-8", "surrogateescape").split("\0"))


def file_id_of(raw: bytes) -> FileId | None:
    """Decode a struct file_id; zeros are no file."""
    ino, ctime_ns, dev, _ = FILE_ID.struct.unpack(raw)
    return FileId(dev, ino, ctime_ns) if ino else None


def ancestors_of(raw: bytes) -> tuple[AncestorRecord, ...]:
    """Decode a lineage, nearest first."""
    return tuple(
        AncestorRecord(start_ns, tgid, FileId(dev, ino, ctime_ns) if ino else None, comm_of(comm))
        for start_ns, ino, ctime_ns, dev, _, tgid, _, comm in ANCESTOR.struct.iter_unpack(raw)
    )


def task_records_of(raw: bytes) -> Iterator[TaskRecord]:
    """Decode a snapshot; a cut record at its end raises WireError."""
    if len(raw) % TASK.size:
        msg = f"a snapshot of {len(raw)} bytes ends within a record"
        raise WireError(msg)
    return map(TaskRecord._make, TASK.struct.iter_unpack(raw))


def identity_key(file: FileId, parent: FileId | None, uid: int) -> bytes:
    """The gate's key for a program; `parent` is None for a kernel thread."""
    return IDENTITY.struct.pack(file.ino, file.ctime_ns, file.dev, 0, parent.ino if parent else 0, parent.dev if parent else 0, uid)


def invocation_key(file: FileId, parent: FileId | None, uid: int, argv_hash: int) -> bytes:
    """The gate's key for a program with exactly these arguments."""
    return identity_key(file, parent, uid) + _U64.pack(argv_hash)


def known_value(*, always: bool) -> bytes:
    """A fresh entry of the gate."""
    return KNOWN.struct.pack(0, KNOWN_ALWAYS if always else 0, 0)
