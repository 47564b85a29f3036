"""The loader for kernels without BTF: Debian's python3-bpfcc compiles bpf/bcc on the host, records come by perf rings.

Imported only when it is wanted: bcc brings clang along, which costs 100 MB and half a second to start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainkernel.errors import SenseError
from brainkernel.sense import hostcheck, wire
from brainkernel.sense.stream import StreamLoader, StreamOptions
from brainkernel.sense.timeorder import TimeOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from brainkernel.clock import Clock
    from brainkernel.sense.loader import Fates, KernelCounters
    from brainkernel.sense.runqueue import Histogram

SOURCE_FILE = Path(__file__).parent / "objects" / "probe.bcc.c"

_RING_PAGES = 256  # per CPU
_UNDER_WAY_NS = 100_000  # from a record's time until it is in its ring: some 20 us on a slow machine
_KINDS = {"exec": 1, "exit": 2, "fork": 3}
_EXEC_LENGTHS = struct.Struct("<HH")  # argv_bytes, filename_bytes
_EXEC_LENGTHS_AT = next(offset for name, offset, _ in wire.EXEC.offsets() if name == "argv_bytes")
_FIXED_BYTES = {int(wire.Kind.EXIT): wire.EXIT.size, int(wire.Kind.FORK): wire.FORK.size}
_LIMITS = (
    "bcc keeps a compiler in this process: about 100 MB of memory more than the core loader",
    "file, start time and lineage come from /proc: of a program that ends before it is looked up, the file is the one that has its name now",
    "arguments are read when execve is called, 48 of 512 bytes each: a page that is not in memory leaves them to /proc",
    "known programs are recognised after they were read, not in the kernel: each start costs about half a millisecond",
    "flood control counts known programs, too: of a cgroup that starts more than 200 programs per second the others are not reported",
    "the run delay of a process is that of its leading thread alone; run-queue waits cost three probes instead of one",
    "a process whose leading thread ends first is reported as ended then, and neither its exit code nor what it used is seen",
)


class BccLoader(StreamLoader):
    """See `Loader`. Tracepoints only: see bpf/bcc/probe.bcc.c for why no struct of the kernel is read."""

    name = "bcc"
    limits = _LIMITS

    def __init__(self, options: StreamOptions | None = None, clock: Clock | None = None, source_file: Path = SOURCE_FILE) -> None:
        """Nothing happens before `open`."""
        super().__init__(options, clock)
        self._source_file = source_file
        self._bpf: Any = None
        self._found = TimeOrder()  # a child runs on another CPU, with another ring, than its parent
        self._undecodable = 0
        self._resources = contextlib.ExitStack()

    def fileno(self) -> int:
        """An epoll descriptor over the rings of all CPUs."""
        return self._epoll.fileno()

    def _begin(self) -> None:
        if missing := hostcheck.missing_for_bcc(self._source_file, self._options.proc):
            raise SenseError(missing)
        try:
            import bcc  # noqa: PLC0415 # see the module's docstring
        except ImportError as error:
            msg = f"bcc is missing ({error}); install python3-bpfcc (Debian's; what PyPI calls bcc is something else)"
            raise SenseError(msg) from None
        cflags = ["-w", *(["-DRUN_QUEUE"] if self._options.run_queue else [])]
        rate, burst = self._options.tokens
        if rate:
            interval_ns = 1_000_000_000 // rate
            cflags += [f"-DTOKEN_INTERVAL_NS={interval_ns}ULL", f"-DTOKEN_DEPTH_NS={interval_ns * burst}ULL"]
        with contextlib.ExitStack() as stack:
            try:
                self._bpf = bcc.BPF(text=self._source_file.read_bytes(), cflags=cflags)
                stack.callback(self._bpf.cleanup)
                # Every record wakes: what /proc shows of a short-lived program is read now or never.
                self._bpf[b"events"].open_perf_buffer(self._take, page_cnt=_RING_PAGES)
            except Exception as error:  # bcc raises bare Exception
                msg = f"bcc could not compile or load its programs ({str(error)[:200]}); are the headers of this kernel installed?"
                raise SenseError(msg) from error
            self._epoll = stack.enter_context(select.epoll())
            for reader in self._bpf.perf_buffers.values():
                self._epoll.register(bcc.libbcc.lib.perf_reader_fd(reader), select.EPOLLIN)
            self._more_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            stack.callback(os.close, self._more_fd)
            self._epoll.register(self._more_fd, select.EPOLLIN)
            self._resources = stack.pop_all()

    def _end(self) -> None:
        self._resources.close()
        self._bpf = None

    def _take(self, _cpu: int, data: int, size: int) -> None:
        self._found.add(_without_padding(ctypes.string_at(data, size)))

    def _read(self, limit: int) -> list[wire.Record]:
        if self._bpf is None:
            return []
        settled_ns = self._clock.boot_ns() - _UNDER_WAY_NS
        # Not perf_buffer_poll: perf forgets that it is readable once anybody has asked, and the caller's epoll has.
        self._bpf.perf_buffer_consume()
        records: list[wire.Record] = []
        for data in self._found.take(settled_ns, limit):
            try:
                records.append(wire.record_of(data))
            except wire.WireError:
                self._undecodable += 1
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._more_fd)
        if self._found:
            os.eventfd_write(self._more_fd, 1)
        return records

    def counters(self) -> KernelCounters:
        """What the kernel has seen, and what became of it here: a record that got lost on the way leaves a sum open."""
        counters = self._gate.counters(undecodable=self._undecodable)
        if self._bpf is None:
            return counters
        books = self._bpf[b"books"]
        kinds: dict[str, Fates] = {}
        failed_of_all = 0
        for kind, fates in counters.by_kind().items():
            per_cpu = books[ctypes.c_int(_KINDS[kind])]
            seen, failed = sum(cpu.seen for cpu in per_cpu), sum(cpu.failed for cpu in per_cpu)
            failed_of_all += failed
            suppressed = sum(cpu.suppressed for cpu in per_cpu)
            kinds[kind] = replace(fates, seen=seen, suppressed=suppressed, failed=fates.failed + failed)
        return replace(
            counters,
            exec=kinds["exec"],
            exit=kinds["exit"],
            fork=kinds["fork"],
            failures={**counters.failures, "ring_full": failed_of_all},
        )

    def _suppressed(self) -> Mapping[int, int]:
        if self._bpf is None or not self._options.tokens[0]:
            return {}
        return {key.value: bucket.suppressed for key, bucket in self._bpf[b"buckets"].items()}

    def run_queue(self) -> Histogram | None:
        """Sum the histograms of all CPUs."""
        if self._bpf is None or not self._options.run_queue:
            return None
        return tuple(sum(slot) for slot in self._bpf[b"waits"].values())


# perf rounds each record up to 8 bytes, its own length of 4 included.
def _without_padding(data: bytes) -> bytes:
    kind = int.from_bytes(data[wire.KIND_AT : wire.KIND_AT + 4], "little")
    if kind == wire.Kind.EXEC and len(data) >= wire.EXEC.size:
        argv_bytes, filename_bytes = _EXEC_LENGTHS.unpack_from(data, _EXEC_LENGTHS_AT)
        return data[: wire.EXEC.size + filename_bytes + argv_bytes]
    return data[: _FIXED_BYTES.get(kind)]
