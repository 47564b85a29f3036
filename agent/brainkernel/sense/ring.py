"""The consumer's side of a BPF ring buffer, in its own memory: kernel/bpf/ringbuf.c has the layout.

libbpf's would call back into Python once per record, which costs more than the decoding of it. Here a batch takes two
passes over shared memory: one over the lengths, one that copies what is complete.
"""

from __future__ import annotations

import _thread
import mmap
from typing import Self

_BUSY = 1 << 31  # of a record's length: its producer has not finished
_DISCARDED = 1 << 30  # its producer has thought better of it
_LENGTH = _DISCARDED - 1
_HEADER_BYTES = 8  # the length, and the kernel's own offset


class Ring:
    """Reads whole records, in the order in which the kernel reserved them."""

    def __init__(self, map_fd: int, ring_bytes: int) -> None:
        """Map the ring of this descriptor, which has `ring_bytes`. Raises OSError."""
        page = mmap.PAGESIZE
        self._mask = ring_bytes - 1
        # First the page with our position, which is ours to write; then the producers', read-only like the data that follow
        # it, twice: a record that goes on at the start of the ring is in one piece.
        self._ours = mmap.mmap(map_fd, page)
        try:
            self._theirs = mmap.mmap(map_fd, page + 2 * ring_bytes, prot=mmap.PROT_READ, offset=page)
        except OSError:
            self._ours.close()
            raise
        # Native words: each is read and written by one instruction.
        self._consumed = memoryview(self._ours).cast("Q")
        self._produced = memoryview(self._theirs)[:8].cast("Q")
        self._lengths = memoryview(self._theirs)[page:].cast("I")
        self._data_at = page
        self._barrier = _thread.allocate_lock()
        self._barrier.acquire()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap it. May be called twice."""
        for view in (self._consumed, self._produced, self._lengths):
            view.release()
        self._ours.close()
        self._theirs.close()

    def read(self, limit: int) -> list[bytes]:
        """Take up to `limit` records out, oldest first.

        Fewer mean that there is no more, or that the next one's producer has not finished it.
        """
        records: list[bytes] = []
        # Once more after our position moved: a producer that still saw the old one did not wake us.
        while len(records) < limit and self._read_more(records, limit):
            pass
        return records

    def _read_more(self, records: list[bytes], limit: int) -> bool:
        consumed, produced = self._consumed[0], self._produced[0]
        if consumed == produced:
            return False
        self._fence()  # the lengths are not older than the producers' position
        lengths, at = self._lengths, consumed & self._mask
        end = at + produced - consumed
        first, room, spans = at, limit - len(records), []
        while at < end and room:
            length = lengths[at >> 2]
            if length & _BUSY:
                break
            start = at + _HEADER_BYTES
            if not length & _DISCARDED:
                spans.append((start, start + length))
                room -= 1
            at = start + ((length & _LENGTH) + 7 & -8)
        self._fence()  # what is copied is not older than the lengths that called it complete
        data, offset = self._theirs, self._data_at
        records += [data[offset + start : offset + stop] for start, stop in spans]
        self._fence()  # what was copied is not newer than our position: from then on producers may write there
        self._consumed[0] = consumed + at - first
        self._fence()  # the producers' position is read, the next time, after ours can be seen
        return at > first

    # A full barrier: a release and then an acquire of the same lock are one on every machine that CPython runs on (on
    # x86 each is a locked instruction; ARMv8 keeps an acquire behind an earlier release).
    def _fence(self) -> None:
        self._barrier.release()
        self._barrier.acquire()
