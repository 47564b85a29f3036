"""The loader for hosts where BPF is refused: the kernel's proc connector (drivers/connector/cn_proc.c), and /proc.

By a plain socket: pyroute2 has the connector too, but importing any part of it brings asyncio, ssl and 20 MB (0.9.7)
into a process that must have none of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING

from brainkernel.errors import SenseError
from brainkernel.sense import wire
from brainkernel.sense.cgroups import read_cgroup, read_cgroup_id, read_mounts
from brainkernel.sense.stream import StreamLoader, StreamOptions
from brainkernel.sense.tokenbuckets import TokenBuckets
from brainkernel.sense.usergate import Fate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from brainkernel.clock import Clock

# include/uapi/linux/netlink.h, connector.h, cn_proc.h
_NETLINK_CONNECTOR = 11
_NLMSG_DONE = 3
_CN_IDX_PROC = _CN_VAL_PROC = 1
_LISTEN, _IGNORE = 1, 2
_NLMSG = struct.Struct("=IHHII")  # length, type, flags, sequence, sender
_CN_MSG = struct.Struct("=IIIIHH")  # idx, val, seq, ack, length, flags
_EVENT = struct.Struct("=IIQ")  # what, cpu, CLOCK_MONOTONIC ns
_FORK = struct.Struct("=IIII")  # parent pid and tgid, child pid and tgid
_PROCESS = struct.Struct("=II")  # pid, tgid
_EXIT = struct.Struct("=III")  # pid, tgid, code
_ACK = struct.Struct("=I")
_NONE, _FORKED, _EXECED, _EXITED = 0, 1, 2, 0x80000000
_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h; the socket module does not have it
_RECEIVE_BYTES = 8 << 20
_ACK_DEADLINE_S = 2.0
_U32_SPAN = 1 << 32

_LIMITS = (
    "a program that ends before it is looked up in /proc is not seen (it is counted as failed): very short ones, mostly",
    "the arguments are those that /proc shows when the event is read: a program may have changed them by then",
    "known programs are recognised after they were read, not in the kernel: each start costs about half a millisecond",
    "flood control counts known programs, too: of a cgroup that starts more than 200 programs per second the others are not looked at",
    "run-queue waits of the host are not seen; the run delay of a process is that of its leading thread alone",
    "a process whose leading thread ends first is reported as ended then",
)


class NetlinkLoader(StreamLoader):
    """See `Loader`. Needs CAP_NET_ADMIN and the first PID, user and network namespace."""

    name = "netlink"
    limits = _LIMITS

    def __init__(self, options: StreamOptions | None = None, clock: Clock | None = None) -> None:
        """Nothing happens before `open`."""
        super().__init__(options, clock)
        self._buckets = TokenBuckets(*self._options.tokens)
        self._mounts = read_mounts(self._options.proc)
        self._socket: socket.socket | None = None
        self._is_listening = False
        self._next_seq: dict[int, int] = {}  # by CPU

    def fileno(self) -> int:
        """The socket."""
        if self._socket is None:
            msg = "netlink is not open"
            raise SenseError(msg)
        return self._socket.fileno()

    def _begin(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
            self._socket.bind((0, _CN_IDX_PROC))
            self._socket.setblocking(False)
            self._say(_LISTEN)
        except OSError as error:
            self._end()
            raise SenseError(_explained(error)) from error
        if not self._acknowledged():
            self._end()
            msg = (
                "the kernel does not answer on the proc connector: it lacks CONFIG_PROC_EVENTS, "
                "or this process is in a user or PID namespace of its own; run it on the host"
            )
            raise SenseError(msg)
        self._begin_on_each_cpu()

    # Without a first number a gap at a CPU's beginning could not be seen. Setting a thread's name to what it is makes
    # an event of no consequence on the CPU where it happens.
    def _begin_on_each_cpu(self) -> None:
        name, cpus = self._options.proc / "thread-self/comm", os.sched_getaffinity(0)
        try:
            for cpu in cpus:
                os.sched_setaffinity(0, {cpu})
                name.write_bytes(name.read_bytes().rstrip(b"\n"))
        except OSError:
            return  # the first event of each CPU will do
        finally:
            with contextlib.suppress(OSError):  # a filter for system calls may forbid it, then nothing was moved
                os.sched_setaffinity(0, cpus)

    def _end(self) -> None:
        if self._socket is not None:
            if self._is_listening:
                self._say(_IGNORE)
            self._socket.close()
            self._socket = None
        self._is_listening = False

    # The kernel counts its listeners, and makes no events without any: a socket that is only closed still counts
    # before 2aa1f7a1f47c "connector/cn_proc: Add filtering to fix some bugs" (in v6.6).
    def _say(self, what: int) -> None:
        body = _CN_MSG.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0) + struct.pack("=I", what)
        header = _NLMSG.pack(_NLMSG.size + len(body), _NLMSG_DONE, 0, 0, os.getpid())
        if self._socket is not None:
            self._socket.send(header + body)

    def _acknowledged(self) -> bool:
        end = time.monotonic() + _ACK_DEADLINE_S
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fileno()], [], [], left)[0]:
                return False
            for _, what, _, _, rest in self._received():
                if what == _NONE:
                    (code,) = _ACK.unpack_from(rest)
                    if code:
                        self._end()
                        raise SenseError(_explained(OSError(code, os.strerror(code))))
                    self._is_listening = True
                    return True
        return False

    def _read(self, limit: int) -> list[wire.Record]:
        records: list[wire.Record] = []
        boot_after_monotonic_ns = self._clock.boot_ns() - time.monotonic_ns()  # they part at each suspend
        while len(records) < limit:
            one = next(self._received(), None)
            if one is None:
                return records
            seq, what, cpu, time_ns, rest = one
            self._check_sequence(cpu, seq, what)
            record = _record_of(what, time_ns + boot_after_monotonic_ns, rest)
            if record is not None:
                records.append(record)
        return records

    def _admits(self, record: wire.ExecRecord) -> bool:
        path = read_cgroup(self._options.proc, record.tgid)
        # Who is gone is not looked up either.
        return path is None or self._buckets.admits(read_cgroup_id(self._mounts, path), record.time_ns)

    def _suppressed(self) -> Mapping[int, int]:
        return self._buckets.suppressed

    # Each CPU numbers what it tells, so a gap is an exact count. Nobody knows of which kind the lost ones were (thread
    # starts and changes of uid are numbered, too); they count as execs, which is the worst they can have been.
    def _check_sequence(self, cpu: int, seq: int, what: int) -> None:
        if what == _NONE:
            return  # an answer to a listener has no number of its own
        expected = self._next_seq.get(cpu, seq)
        lost = (seq - expected) % _U32_SPAN
        if lost:
            self._gate.failures["ring_full"] += lost
            self._gate.count("exec", Fate.FAILED, lost)
        self._next_seq[cpu] = (seq + 1) % _U32_SPAN

    # (sequence, what, cpu, time, rest) of each datagram that waits.
    def _received(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        if self._socket is None:
            return
        while True:
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue  # some were lost: the sequence will say how many
                raise
            at = _NLMSG.size + _CN_MSG.size
            if len(data) < at + _EVENT.size:
                continue
            _, _, seq, _, _, _ = _CN_MSG.unpack_from(data, _NLMSG.size)
            what, cpu, time_ns = _EVENT.unpack_from(data, at)
            yield seq, what, cpu, time_ns, data[at + _EVENT.size :]


def _record_of(what: int, time_ns: int, rest: bytes) -> wire.Record | None:
    if what == _FORKED:
        _, parent_tgid, pid, tgid = _FORK.unpack_from(rest)
        return wire.ForkRecord(time_ns, 0, tgid, 0, parent_tgid) if pid == tgid else None
    if what == _EXECED:
        _, tgid = _PROCESS.unpack_from(rest)
        return wire.ExecRecord(time_ns, 0, 0, tgid, b"", 0, 0, 0, wire.NO_LOGINUID, 0, 0, False, "", "", (), b"")
    if what == _EXITED:
        pid, tgid, code = _EXIT.unpack_from(rest)
        return wire.ExitRecord(time_ns, 0, tgid, code) if pid == tgid else None
    return None


def _explained(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"the proc connector is refused ({error.strerror}); it needs CAP_NET_ADMIN: run as root on the host"
    if error.errno == errno.EPROTONOSUPPORT:
        return "this kernel has no proc connector (CONFIG_CONNECTOR, CONFIG_PROC_EVENTS), or this is a network namespace of its own"
    return f"the proc connector cannot be opened: {error.strerror}"
