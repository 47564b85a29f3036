"""Which knobs have an effect on this host, and which would do harm: a limit that nobody honours is not set, but said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from brainkernel.act.procfs import text_of

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.act.host import Host

_USER_MANAGER = re.compile(r"(.*/user@\d+\.service)/")
_NO_DISK = re.compile(r"(?:loop|ram|zram|sr|fd|nbd)\d+")
_COSTED = re.compile(r"^(\d+:\d+) .*\benable=1", re.MULTILINE)
_CHOSEN = re.compile(r"\[([\w-]+)\]")
_FULL_AVG10 = re.compile(r"^full avg10=([\d.]+)", re.MULTILINE)
_SWAP_KB = re.compile(r"^(SwapTotal|SwapFree):\s+(\d+) kB", re.MULTILINE)
SWAP_FREE_MIN = 0.25
STRAIN_PCT = 10.0  # of ten seconds, in which all of the cgroup's tasks waited for memory at once


class IoWeight(NamedTuple):
    """Who heeds io.weight, or why nobody does: one of both is ""."""

    heeded_by: str = ""
    why_not: str = ""


def io_weight_on(host: Host, cgroup: str) -> IoWeight:
    """Whether io.weight would have an effect on a cgroup.

    Only the scheduler bfq and the controller iocost heed weights (Documentation/admin-guide/cgroup-v2.rst, io.weight).
    """
    manager = _USER_MANAGER.match(cgroup)
    top = host.cgroup / manager[1].lstrip("/") if manager else host.cgroup
    if "io" not in (text_of(top / "cgroup.controllers") or "").split():
        return IoWeight(why_not="the manager of its unit has no io controller to hand out")
    qos, disks = text_of(host.cgroup / "io.cost.qos"), _disks(host.sys)
    if (numbers := _COSTED.findall(qos or "")) != []:
        names = {(text_of(disk / "dev") or "").strip(): disk.name for disk in disks}
        return IoWeight(f"iocost ({', '.join(names.get(number, number) for number in numbers)})")
    schedulers = {disk.name: _scheduler_of(disk) for disk in disks}
    if by_bfq := sorted(disk for disk, scheduler in schedulers.items() if scheduler == "bfq"):
        if qos is None:  # bfq alone has io.bfq.weight, and what is not to be read back is not set
            return IoWeight(why_not="the kernel has no io.weight (CONFIG_BLK_CGROUP_IOCOST)")
        return IoWeight(f"bfq ({', '.join(by_bfq)})")
    shown = ", ".join(f"{disk} by {scheduler or 'none'}" for disk, scheduler in sorted(schedulers.items()))
    return IoWeight(why_not=f"only bfq and iocost heed it, and disks are scheduled {shown}" if shown else "there is no disk")


def why_no_memory_high(host: Host, cgroup: str, *, ours: bool) -> str:
    """Why memory.high must not be set on a cgroup; "" if nothing speaks against it. `ours`: the value there is ours.

    Below what a program needs it does not recover by itself: without swap a host was busy with reclaim for 90 minutes.
    """
    if (text_of(host.cgroup / cgroup.lstrip("/") / "memory.high") or "max").strip() != "max" and not ours:
        return "somebody else has set it"
    swap = {name: int(kilobytes) for name, kilobytes in _SWAP_KB.findall(text_of(host.proc / "meminfo") or "")}
    if not swap.get("SwapTotal"):
        return "the host has no swap to put its memory to"
    if swap.get("SwapFree", 0) < SWAP_FREE_MIN * swap["SwapTotal"]:
        return "the host's swap is nearly full"
    return "it waits for memory already" if strains(host.cgroup, cgroup) else ""


def strains(root: Path, cgroup: str) -> bool:
    """Whether all tasks of a cgroup wait for memory together more than they should (PSI memory full)."""
    match = _FULL_AVG10.search(text_of(root / cgroup.lstrip("/") / "memory.pressure") or "")
    return match is not None and float(match[1]) >= STRAIN_PCT


def _disks(sys: Path) -> list[Path]:
    try:
        return [disk for disk in (sys / "block").iterdir() if not _NO_DISK.fullmatch(disk.name)]
    except FileNotFoundError:
        return []


def _scheduler_of(disk: Path) -> str:
    match = _CHOSEN.search(text_of(disk / "queue/scheduler") or "")
    return match[1] if match else ""
