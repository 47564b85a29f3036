"""The loader for kernels with BTF: compiled once, fitted to the running kernel by libbpf (CO-RE)."""

from __future__ import annotations

import contextlib
import functools
import mmap
import operator
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from brainkernel.clock import SystemClock
from brainkernel.errors import SenseError
from brainkernel.sense import hostcheck, wire
from brainkernel.sense.assembly import EventAssembly
from brainkernel.sense.cgroups import CgroupPaths, read_mounts
from brainkernel.sense.exepath import ExePaths
from brainkernel.sense.libbpf import BpfMap, BpfObject, LibbpfError, iterate, possible_cpus
from brainkernel.sense.loader import Fates, KernelCounters
from brainkernel.sense.ring import Ring
from brainkernel.sense.suppression import SuppressionNotices
from brainkernel.sense.tasksnapshot import TaskSnapshots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.clock import Clock
    from brainkernel.model import Exec, Identity, ProcessEvent, TaskSample
    from brainkernel.sense.runqueue import Histogram

OBJECT_FILE = Path(__file__).parent / "objects" / "probe.bpf.o"

_PROGRAMS = ("on_exec", "on_exit", "on_fork")
_QUEUE_BY_CLOCK = ("on_switch",)
_QUEUE_BY_PAIR = ("on_switch_pair", "on_wakeup", "on_wakeup_new")
_KINDS: dict[type[wire.Record], str] = {wire.ExecRecord: "exec", wire.ExitRecord: "exit", wire.ForkRecord: "fork"}
_BUCKETS_MAX = 4096  # as declared in bpf/probe.bpf.c
_RING_BYTES_PER_CPU = 512 * 1024
_RING_BYTES_MIN, _RING_BYTES_MAX = 1 << 20, 16 << 20
_SNAPSHOT_READ_BYTES = 1 << 16
_INABILITIES = {
    wire.Ability.QUEUE_CLOCK: "run-queue wait is measured by two probes per switch instead of one: the kernel lacks CONFIG_SCHED_INFO or CONFIG_FAIR_GROUP_SCHED",
    wire.Ability.RUN_DELAY: "the run delay of tasks reads 0: the kernel lacks CONFIG_SCHED_INFO",
    wire.Ability.RSS: "the memory of tasks reads 0: this kernel counts it in a way not known here",
}
_INVOCATIONS_MAX = 16384  # as declared in bpf/probe.bpf.c
_FOLLOWED_MAX = 64  # as declared in bpf/probe.bpf.c
_SETTINGS = ".rodata.settings"
_LEVELS = 32  # bits of followed_levels
_ARGV_KEY = struct.Struct("<QQ")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreOptions:
    """How the core loader is set up; the defaults are those of a host."""

    all_events: bool = False  # the gate keeps nothing back, flood control is off, forks are reported
    exec_records_per_s: int = 200  # per cgroup, once the burst is spent; 0: no limit
    exec_records_burst: int = 1000
    ring_bytes: int = 0  # a power of two; 0: by the number of CPUs
    own_tgids: tuple[int, ...] = field(default_factory=lambda: (os.getpid(),))
    run_queue: bool = True
    object_file: Path = OBJECT_FILE
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")


class CoreLoader:
    """See `Loader`. All of DESIGN.md section 4."""

    name = "core"

    def __init__(self, options: CoreOptions | None = None, clock: Clock | None = None) -> None:
        """Nothing happens before `open`."""
        self._options = options or CoreOptions()
        self._clock = clock or SystemClock()
        self._is_open = False
        self._resources = contextlib.ExitStack()  # what close undoes, last one first
        self._notices = SuppressionNotices()
        self._followed: dict[int, int] = {}  # the bit of its level, by cgroup id
        self._snapshot = TaskSnapshots(mmap.PAGESIZE)
        self.limits: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        if not self._is_open:
            self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Load, attach, and map the ring. Raises SenseError."""
        options = self._options
        if missing := hostcheck.missing_for_core(options.object_file, options.proc, options.sys):
            raise SenseError(missing)
        self._cpus = possible_cpus()
        try:
            with contextlib.ExitStack() as stack:
                obj = BpfObject(options.object_file)
                stack.callback(obj.close)
                self._load(obj)
                self._map_memory(obj, stack)
                self._attach(obj)
                self._resources = stack.pop_all()
        except (LibbpfError, OSError) as error:
            raise SenseError(hostcheck.explained(error)) from error
        self._cgroup_paths = CgroupPaths(options.proc, read_mounts(options.proc))
        self._resources.callback(self._cgroup_paths.close)
        self._assembly = EventAssembly(options.proc, ExePaths(options.proc), self._cgroup_paths)
        self._is_open = True

    def close(self) -> None:
        """Take everything out of the kernel. May be called twice."""
        self._is_open = False
        self._followed.clear()
        self._resources.close()

    def _load(self, obj: BpfObject) -> None:
        options = self._options
        self._ring_bytes = options.ring_bytes or ring_bytes_for(self._cpus)
        rate = 0 if options.all_events else options.exec_records_per_s
        interval_ns = 1_000_000_000 // rate if rate else 0
        # Else it would load and run, and each of its records would be undecodable, or worse, be decoded.
        if obj.constant(_SETTINGS)[-_U32.size :] != _U32.pack(wire.ABI):
            msg = f"{options.object_file} was compiled for another version of brainkernel; run ./scripts/build-bpf"
            raise SenseError(msg)
        obj.set_constant(
            _SETTINGS,
            wire.SETTINGS.struct.pack(
                interval_ns,
                interval_ns * options.exec_records_burst,
                self._ring_bytes // 4,
                *_ARGV_KEY.unpack(os.urandom(16)),
                int(options.all_events),
                wire.ABI,
            ),
        )
        obj.resize_maps({"events": self._ring_bytes, "counters": self._cpus, "waits": self._cpus})
        obj.load()
        self._known = BpfMap(obj.map_fd("known"), wire.IDENTITY.size, wire.KNOWN.size)
        self._invocations = BpfMap(obj.map_fd("invocations"), wire.INVOCATION.size, _U64.size)
        self._cgroup_waits = BpfMap(obj.map_fd("cgroup_waits"), _U64.size, wire.WAITS.size)
        self._followed_levels = BpfMap(obj.map_fd(".data.followed"), _U32.size, _U32.size)
        self._own = BpfMap(obj.map_fd("own"), _U32.size, 1)
        self._buckets = BpfMap(obj.map_fd("buckets"), _U64.size, wire.BUCKET.size)

    def _map_memory(self, obj: BpfObject, stack: contextlib.ExitStack) -> None:
        self._ring_fd = obj.map_fd("events")
        self._ring = stack.enter_context(Ring(self._ring_fd, self._ring_bytes))
        counters_bytes, waits_bytes = self._cpus * wire.COUNTERS.size, self._cpus * wire.WAITS.size
        self._counter_memory = stack.enter_context(mmap.mmap(obj.map_fd("counters"), counters_bytes, prot=mmap.PROT_READ))
        self._wait_memory = stack.enter_context(mmap.mmap(obj.map_fd("waits"), waits_bytes, prot=mmap.PROT_READ))

    def _attach(self, obj: BpfObject) -> None:
        for tgid in self._options.own_tgids:
            self.exclude(tgid)
        self._iterator_fd = obj.attach_iterator("snapshot")
        self.tasks()  # its first run tells what this kernel's structs have
        raw = BpfMap(obj.map_fd("abilities"), _U32.size, _U32.size).get(_U32.pack(0)) or bytes(_U32.size)
        able = wire.Ability(_U32.unpack(raw)[0])
        self.limits = tuple(text for ability, text in _INABILITIES.items() if ability not in able)
        for program in _PROGRAMS:
            obj.attach(program)
        if self._options.run_queue:
            for program in _QUEUE_BY_CLOCK if wire.Ability.QUEUE_CLOCK in able else _QUEUE_BY_PAIR:
                obj.attach(program)

    def fileno(self) -> int:
        """The ring buffer's own descriptor."""
        return self._ring_fd

    def drain(self, limit: int = 512) -> list[ProcessEvent]:
        """Take what waits; at most every quarter of a second also what flood control held back."""
        events = self._assembly.events_of(self._ring.read(limit))
        events.extend(self._notices.due(self._clock.boot_ns(), lambda: self.counters().exec.suppressed, self._suppressed))
        return events

    def _suppressed(self) -> dict[int, int]:
        return {_U64.unpack(key)[0]: wire.BUCKET.struct.unpack(value)[1] for key, value in self._buckets.items(_BUCKETS_MAX)}

    def remember(self, identity: Identity, *, always: bool = False) -> None:
        """Put it into the gate's map; an identity without a file cannot be, and is reported each time."""
        if identity.file is not None:
            key = wire.identity_key(identity.file, identity.parent_file, identity.uid)
            self._known.put(key, wire.known_value(always=always))

    def remember_many(self, identities: Iterable[tuple[Identity, bool]]) -> int:
        """Put them into the gate's map with one system call."""
        entries = {
            wire.identity_key(identity.file, identity.parent_file, identity.uid): wire.known_value(always=always)
            for identity, always in identities
            if identity.file is not None
        }
        self._known.put_many(entries)
        return len(entries)

    def remember_arguments(self, event: Exec) -> bool:
        """Put this invocation into the gate's map, if the kernel gave its hash."""
        if event.file is None or not event.argv_hash:
            return False
        self._invocations.put(wire.invocation_key(event.file, event.parent_file, event.uid, event.argv_hash), bytes(_U64.size))
        return True

    def forget(self, identity: Identity) -> None:
        """Take it out of the gate's maps."""
        if identity.file is None:
            return
        key = wire.identity_key(identity.file, identity.parent_file, identity.uid)
        self._known.delete(key)
        for invocation, _ in self._invocations.items(_INVOCATIONS_MAX):
            if invocation.startswith(key):
                self._invocations.delete(invocation)

    def exclude(self, tgid: int) -> None:
        """Make it one of ours; its children will be by fork."""
        self._own.put(_U32.pack(tgid), b"\1")

    def counters(self) -> KernelCounters:
        """Sum the books of all CPUs, without a system call."""
        columns = [sum(column) for column in zip(*wire.COUNTERS.struct.iter_unpack(self._counter_memory[:]), strict=True)]
        n = len(wire.FATES.fields)
        return KernelCounters(
            exec=Fates(*columns[:n]),
            exit=Fates(*columns[n : 2 * n]),
            fork=Fates(*columns[2 * n : 3 * n]),
            received={name: self._assembly.received[kind] for kind, name in _KINDS.items()},
            undecodable=self._assembly.undecodable,
            wakeups=columns[3 * n],
            failures=dict(zip(wire.FAILURES, columns[3 * n + 1 :], strict=False)),
        )

    def run_queue(self) -> Histogram | None:
        """Sum the histograms of all CPUs, without a system call. Cgroups that are followed are not in it."""
        if not self._options.run_queue:
            return None
        per_cpu = wire.WAITS.struct.iter_unpack(self._wait_memory[:])
        return tuple(sum(slot) for slot in zip(*per_cpu, strict=True))

    def follow_cgroup(self, cgroup_id: int) -> bool:
        """Give it and what is below it a histogram of their own; False when 64 have one. Costs hash look-ups while any has."""
        key = _U64.pack(cgroup_id)
        if not self._options.run_queue or len(self._followed) >= _FOLLOWED_MAX:
            return False
        if cgroup_id not in self._followed:
            self._cgroup_waits.put(key, bytes(wire.WAITS.size))
            level = self._cgroup_paths.level_of(cgroup_id)
            # Where it is not known, all levels: dearer, and as right.
            self._followed[cgroup_id] = (1 << _LEVELS) - 1 if level is None else 1 << level % _LEVELS
            self._tell_followed()
        return True

    def unfollow_cgroup(self, cgroup_id: int) -> None:
        """Count it with the host again."""
        if cgroup_id in self._followed:
            del self._followed[cgroup_id]
            self._tell_followed()
            self._cgroup_waits.delete(_U64.pack(cgroup_id))

    def _tell_followed(self) -> None:
        levels = functools.reduce(operator.or_, self._followed.values(), 0)
        self._followed_levels.put(_U32.pack(0), _U32.pack(levels))

    def run_queue_of(self, cgroup_id: int) -> Histogram | None:
        """The histogram of one cgroup since it is followed."""
        raw = self._cgroup_waits.get(_U64.pack(cgroup_id)) if cgroup_id in self._followed else None
        return wire.WAITS.struct.unpack(raw) if raw is not None else None

    def tasks(self) -> list[TaskSample]:
        """Read the task iterator once. Threads are added up into their process."""
        fd = iterate(self._iterator_fd)
        chunks = []
        try:
            while chunk := os.read(fd, _SNAPSHOT_READ_BYTES):
                chunks.append(chunk)
        finally:
            os.close(fd)
        return self._snapshot.samples_of(b"".join(chunks))


def ring_bytes_for(cpus: int) -> int:
    """The size of the ring: more CPUs make events faster, and one consumer reads them all."""
    wanted = 1 << (cpus * _RING_BYTES_PER_CPU - 1).bit_length()
    return min(max(wanted, _RING_BYTES_MIN), _RING_BYTES_MAX)
