from __future__ import annotations

import contextlib

import pytest
from brainkernel.model import FileId
from brainkernel.sense import wire
from hypothesis import given
from hypothesis import strategies as st
from support.wirebytes import a_task_record, an_ancestor, an_exec_record

COMM = st.binary(max_size=16)
C_STRINGS = st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\0", b"")), min_size=1, max_size=20)


@given(st.binary(max_size=400))
def test_record_of_answers_hostile_bytes_with_one_error(data: bytes) -> None:
    """Whatever lies in the ring, the reader does not fall over."""
    with contextlib.suppress(wire.WireError):
        wire.record_of(data)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_record_of_refuses_a_record_that_is_cut_or_padded(extra: bytes, cut: int) -> None:
    """Lengths inside that do not add up to the length outside are never trusted."""
    data = an_exec_record(lineage=(an_ancestor(),))
    cut_off = data[: max(0, len(data) - cut - 1)]

    for wrong in (cut_off, data + b"\0" + extra):
        with pytest.raises(wire.WireError):
            wire.record_of(wrong)


@given(C_STRINGS, st.binary(max_size=100).map(lambda b: b.replace(b"\0", b"")), COMM, st.lists(COMM, max_size=7))
def test_exec_record_comes_back_as_it_was(argv: list[bytes], filename: bytes, comm: bytes, lineage: list[bytes]) -> None:
    """Every byte of every string survives, UTF-8 or not."""
    data = an_exec_record(
        argv=b"".join(a + b"\0" for a in argv),
        filename=filename,
        comm=comm,
        lineage=tuple(an_ancestor(tgid=i, comm=c) for i, c in enumerate(lineage, start=1)),
    )

    record = wire.record_of(data)

    assert isinstance(record, wire.ExecRecord)
    assert [a.encode("utf-8", "surrogateescape") for a in record.argv] == argv
    assert record.filename.encode("utf-8", "surrogateescape") == filename
    assert record.comm.encode("utf-8", "surrogateescape") == comm.split(b"\0")[0]
    assert [a.tgid for a in wire.ancestors_of(record.lineage)] == list(range(1, len(lineage) + 1))
    assert wire.file_id_of(record.exe) == FileId(dev=1, ino=3, ctime_ns=2)
    assert (record.time_ns, record.start_ns, record.cgroup_id, record.tgid) == (60, 50, 40, 4711)
    assert not record.argv_cut


@pytest.mark.parametrize(
    ("raw", "argv"),
    [
        (b"", ()),
        (b"\0", ("",)),
        (b"a\0b\0", ("a", "b")),
        (b"a\0\0b\0", ("a", "", "b")),
        (b"a\0b", ("a", "b")),  # cut within the last one
        (b"a\0\0", ("a", "")),
        (b"\xff\0", ("\udcff",)),
    ],
)
def test_argv_of_splits_at_the_zeros(raw: bytes, argv: tuple[str, ...]) -> None:
    """Empty arguments count, the last zero only ends."""
    assert wire.argv_of(raw) == argv


def test_exec_record_says_when_argv_was_cut() -> None:
    """The kernel names the full length beside what it sent."""
    record = wire.record_of(an_exec_record(argv=b"tool\0arg", argv_total=100_000))

    assert isinstance(record, wire.ExecRecord)
    assert record.argv_cut


def test_file_id_of_zeros_is_no_file() -> None:
    """A kernel thread as parent has no program file."""
    assert wire.file_id_of(bytes(wire.FILE_ID.size)) is None
    assert wire.ancestors_of(an_ancestor(ino=0))[0].file is None


def test_exit_and_fork_records_come_back_as_they_were() -> None:
    """The two short kinds."""
    exit_ = wire.EXIT.struct.pack(60, 50, 7, wire.Kind.EXIT, 40, 1, 2, 3, 256, 0)
    fork = wire.FORK.struct.pack(60, 50, 8, wire.Kind.FORK, 40, 30, 7, 0)

    assert wire.record_of(exit_) == wire.ExitRecord(60, 50, 7, 256, 1, 2, 3)
    assert wire.record_of(fork) == wire.ForkRecord(60, 50, 8, 30, 7)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)), max_size=10))
def test_task_records_come_back_as_they_were(tasks: list[tuple[int, int]]) -> None:
    """A snapshot is a row of records of one size."""
    raw = b"".join(a_task_record(tgid=tgid, cpu_ns=cpu_ns) for tgid, cpu_ns in tasks)

    assert [(r.tgid, r.cpu_ns) for r in wire.task_records_of(raw)] == tasks


def test_task_snapshot_that_is_cut_is_refused() -> None:
    """Half a record at the end is not silently left out."""
    with pytest.raises(wire.WireError, match="ends within a record"):
        wire.task_records_of(a_task_record()[:-1])


def test_identity_key_has_the_size_of_the_map() -> None:
    """A key of another size would be refused by the kernel, or worse, match nothing."""
    assert len(wire.identity_key(FileId(1, 2, 3), None, 0)) == 40
    assert len(wire.known_value(always=True)) == 16
