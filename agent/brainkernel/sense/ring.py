"""Reads a BPF ring buffer through its memory, without a call per record.

libbpf's ring_buffer__consume() calls back for each record, which costs ctypes more than decoding it. The layout is
kernel ABI (Documentation/bpf/ringbuf.rst): a page with the consumer's position, which we write; a page with the
producer's; then the data, mapped twice in a row so that a record never wraps.
"""

from __future__ import annotations

import mmap
import threading
from typing import Self

_BUSY = 1 << 31  # BPF_RINGBUF_BUSY_BIT: reserved, not yet committed
_DISCARDED = 1 << 30  # BPF_RINGBUF_DISCARD_BIT
_HEADER_BYTES = 8  # BPF_RINGBUF_HDR_SZ: length with the two bits, page offset
_BUSY_RETRIES = 100  # a producer on another CPU needs about a microsecond from reserve to commit


class Ring:
    """The consumer's side of one ring buffer map."""

    def __init__(self, map_fd: int, size_bytes: int) -> None:
        """Map it; `size_bytes` is the map's max_entries, a power of two and whole pages."""
        page = mmap.PAGESIZE
        self._mask = size_bytes - 1
        self._consumer_map = mmap.mmap(map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_map = mmap.mmap(map_fd, page + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumed = memoryview(self._consumer_map).cast("Q")
        self._produced = memoryview(self._producer_map)[:page].cast("Q")
        self._lengths = memoryview(self._producer_map)[page:].cast("I")
        self._fence = threading.Lock()
        self._fence.acquire()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap it."""
        for view in (self._lengths, self._produced, self._consumed):
            view.release()
        self._producer_map.close()
        self._consumer_map.close()

    def unread_bytes(self) -> int:
        """How much lies in the ring."""
        return self._produced[0] - self._consumed[0]

    def read(self, limit: int) -> list[bytes]:
        """Take up to `limit` records out, oldest first, in the order in which they were reserved.

        Stops early only at a record that its producer has not finished; that producer will wake us (bpf/common.bpf.h).
        """
        records: list[bytes] = []
        retries = 0
        while len(records) < limit:
            start = self._consumed[0]
            end = self._produced[0]
            if start == end:
                break
            position = self._take(start, end, limit, records)
            if position == start:
                retries += 1
                if retries > _BUSY_RETRIES:
                    break
                continue
            self._order()  # what we have copied is copied before the producer may write over it
            self._consumed[0] = position
            self._order()  # and our position is out before we look at the producer's again
        return records

    def _take(self, start: int, end: int, limit: int, records: list[bytes]) -> int:
        spans: list[tuple[int, int]] = []
        room = limit - len(records)
        lengths, mask = self._lengths, self._mask
        position, first = start, mmap.PAGESIZE + _HEADER_BYTES
        while position < end and len(spans) < room:
            offset = position & mask
            word = lengths[offset >> 2]
            if word & _BUSY:
                break
            length = word & ~_DISCARDED
            if not word & _DISCARDED:
                spans.append((offset + first, offset + first + length))
            position += (length + _HEADER_BYTES + 7) & ~7
        self._order()  # the lengths said "committed" before we read what they cover
        data = self._producer_map
        records.extend([data[a:b] for a, b in spans])
        return position

    # Python has no memory barrier; releasing and then taking a lock orders everything before against everything after
    # (the other way round would not). arm64 needs each of the three, x86 only the last one. Some 100 ns per batch.
    def _order(self) -> None:
        self._fence.release()
        self._fence.acquire()
