"""The ring buffer's consumer, against a producer that writes the same memory as the kernel does."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass, field

import pytest
from brainkernel.sense.ring import Ring
from hypothesis import given
from hypothesis import strategies as st

BYTES = 4096
BUSY, DISCARDED = 1 << 31, 1 << 30
PAGE = mmap.PAGESIZE


@dataclass
class Producer:
    """Lays out a file as ringbuf.c does: consumer's page, producers' page, the data, the data again."""

    position: int = 0
    fd: int = field(default_factory=lambda: os.memfd_create("ring"))

    def __post_init__(self) -> None:
        os.ftruncate(self.fd, 2 * PAGE + 2 * BYTES)

    def reserve(self, record: bytes) -> int:
        """Make room for a record that is not finished yet; its place."""
        at = self.position
        self._put(at, struct.pack("<II", len(record) | BUSY, 0) + record)
        self.position += (8 + len(record) + 7) & ~7
        os.pwrite(self.fd, struct.pack("<Q", self.position), PAGE)
        return at

    def finish(self, at: int, record: bytes, flags: int = 0) -> None:
        """Commit it, or with DISCARDED think better of it."""
        self._put(at, struct.pack("<I", len(record) | flags))

    def add(self, record: bytes, flags: int = 0) -> None:
        """Both at once."""
        self.finish(self.reserve(record), record, flags)

    @property
    def consumed(self) -> int:
        """Where the consumer says that it stands."""
        return int(struct.unpack("<Q", os.pread(self.fd, 8, 0))[0])

    @property
    def room(self) -> int:
        """Bytes that are free."""
        return BYTES - (self.position - self.consumed)

    # Twice, since what the kernel maps twice is the same page.
    def _put(self, at: int, data: bytes) -> None:
        for number, byte in enumerate(data):
            for copy in (0, BYTES):
                os.pwrite(self.fd, bytes([byte]), 2 * PAGE + copy + (at + number) % BYTES)


@pytest.fixture
def producer() -> Producer:
    return Producer()


def test_records_come_whole_and_in_order_and_their_room_is_given_back(producer: Producer) -> None:
    """What was read is free for the producers."""
    for record in (b"first", b"second one", b""):
        producer.add(record)

    with Ring(producer.fd, BYTES) as ring:
        assert ring.read(10) == [b"first", b"second one", b""]
        assert ring.read(10) == []

    assert producer.room == BYTES


def test_no_more_than_the_limit_is_taken(producer: Producer) -> None:
    """The rest stays for the next time."""
    for number in range(5):
        producer.add(bytes([number]))

    with Ring(producer.fd, BYTES) as ring:
        assert [len(ring.read(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_nothing_is_read_past_a_record_that_is_not_finished(producer: Producer) -> None:
    """Its bytes are not there yet, and order matters more than haste."""
    producer.add(b"done")
    at = producer.reserve(b"later")
    producer.add(b"after it")

    with Ring(producer.fd, BYTES) as ring:
        assert ring.read(10) == [b"done"]
        assert ring.read(10) == []
        producer.finish(at, b"later")
        assert ring.read(10) == [b"later", b"after it"]


def test_a_discarded_record_is_passed_over(producer: Producer) -> None:
    """An empty one that only wakes us is one of these."""
    producer.add(b"x" * 8, DISCARDED)
    producer.add(b"kept")

    with Ring(producer.fd, BYTES) as ring:
        assert ring.read(10) == [b"kept"]

    assert producer.room == BYTES


def test_close_may_be_called_twice(producer: Producer) -> None:
    """As every loader's close."""
    ring = Ring(producer.fd, BYTES)

    ring.close()
    ring.close()


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=12), st.integers(1, 9)), min_size=1, max_size=12
    )
)
def test_no_record_is_lost_or_changed_however_it_lies_in_the_ring(turns: list[tuple[list[tuple[bytes, bool]], int]]) -> None:
    """Also one that goes on at the start of the ring, after any number of rounds."""
    producer, sent, got = Producer(), [], []
    with Ring(producer.fd, BYTES) as ring:
        for records, limit in turns:
            for record, is_kept in records:
                if producer.room < len(record) + 16:
                    got += ring.read(1000)
                producer.add(record, 0 if is_kept else DISCARDED)
                sent += [record] if is_kept else []
            got += ring.read(limit)
        got += ring.read(1000)
    os.close(producer.fd)

    assert got == sent
