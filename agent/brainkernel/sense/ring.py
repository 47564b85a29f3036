"""The consumer's side of a BPF ring buffer, by libbpf."""

from __future__ import annotations

import ctypes
from typing import Self

from brainkernel.sense.libbpf import SAMPLE_CALLBACK, checked_pointer, library

_STOP = -1  # any negative number: libbpf takes the record as consumed and returns


class Ring:
    """Reads whole records, in the order in which the kernel reserved them."""

    def __init__(self, map_fd: int) -> None:
        """Map the ring of this descriptor. Raises LibbpfError."""
        self._lib = library()
        self._records: list[bytes] = []
        self._limit = 0
        self._callback = SAMPLE_CALLBACK(self._take)  # held here, as libbpf keeps only the address
        self._ring: int | None = checked_pointer("ring buffer", self._lib.ring_buffer__new(map_fd, self._callback, None, None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap it. May be called twice."""
        if self._ring:
            self._lib.ring_buffer__free(self._ring)
            self._ring = None

    def read(self, limit: int) -> list[bytes]:
        """Take up to `limit` records out, oldest first.

        Stops early only at a record that its producer has not finished; the descriptor stays readable then.
        """
        records: list[bytes] = []
        self._records = records
        self._limit = limit
        self._lib.ring_buffer__consume(self._ring)
        return records

    def _take(self, _context: int, data: int, size: int) -> int:
        self._records.append(ctypes.string_at(data, size))
        return _STOP if len(self._records) >= self._limit else 0
