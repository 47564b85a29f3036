from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.sense.netlink import NetlinkLoader
from support.kernel import Witness, wait_until
from support.loaders import open_witness

if TYPE_CHECKING:
    import pytest
    from brainkernel.sense.loader import KernelCounters

_TRUE = str(Path("/bin/true").resolve())


def counters_of(witness: Witness) -> KernelCounters:
    witness.drain()
    return witness.loader.counters()


def test_netlink_tells_how_many_it_lost() -> None:
    """The kernel's numbers per CPU make a full socket an exact count: nobody who reads in time has seen more."""
    with open_witness("netlink") as observe:
        hurried, patient = observe(all_events=True), observe(all_events=True)
        assert isinstance(hurried.loader, NetlinkLoader)
        small = socket.socket(fileno=os.dup(hurried.loader.fileno()))
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.close()
        hurried.drain()

        for _ in range(200):
            os.waitpid(os.posix_spawn(_TRUE, [_TRUE], {}), 0)
            patient.drain()
        hurried.drain()
        lost = wait_until("the first number after the gap", lambda: lost_and_next(hurried))
        seen = counters_of(patient)

        assert lost.exec.failed >= 300  # of 600
        assert lost.lost == lost.exec.failed
        assert lost.mismatches() == []
        told = sum(fates.seen for fates in lost.by_kind().values())
        all_of_them = sum(fates.seen for fates in seen.by_kind().values())
        # More on either side: threads of others on this host have numbers, too, and the two were not read at once.
        assert abs(told - all_of_them) <= all_of_them // 3


def lost_and_next(witness: Witness) -> KernelCounters | None:
    """The books, once every CPU has told something again: only then its gap shows."""
    witness.drain()
    for cpu in sorted(os.sched_getaffinity(0)):
        os.waitpid(os.posix_spawn("/usr/bin/taskset", ["taskset", "-c", str(cpu), _TRUE], {}), 0)
        witness.drain()
    counters = counters_of(witness)
    return counters if counters.failures.get("ring_full") else None


def test_netlink_opens_where_it_may_not_move_over_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's filter for system calls costs the count of losses before the first event of a CPU, and nothing else."""

    def forbidden(_pid: int, _cpus: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    with open_witness("netlink") as observe:
        witness = observe(all_events=True)
        monkeypatch.undo()
        pid = os.posix_spawn(_TRUE, [_TRUE], {})
        os.waitpid(pid, 0)

        assert wait_until("its end", lambda: witness.exits_of(pid))
