"""Makers of the nouns for tests: everything has a plain default, a test names only what it is about."""

from __future__ import annotations

from typing import Any

from brainkernel.model import (
    Category,
    Evidence,
    Exec,
    FileId,
    Identity,
    ProcessKey,
    Program,
    Reason,
    ReasonCode,
    Standing,
    Suspect,
    Symptom,
    TaskSample,
    Tier,
    Verdict,
    Victim,
)

SECOND_NS = 1_000_000_000
A_FILE = FileId(dev=0x800001, ino=1234, ctime_ns=7)
A_KEY = ProcessKey(4711, 50 * SECOND_NS)


def an_exec(exe: str = "/usr/bin/tool", **changes: Any) -> Exec:
    """A plain program start by a shell."""
    plain: dict[str, Any] = {
        "time_ns": 60 * SECOND_NS,
        "key": A_KEY,
        "parent": ProcessKey(4000, 10 * SECOND_NS),
        "exe": exe,
        "file": A_FILE,
        "parent_exe": "/usr/bin/bash",
        "filename": exe,
        "argv": (exe,),
        "comm": exe.rpartition("/")[2][:15],
        "uid": 1000,
        "euid": 1000,
    }
    return Exec(**(plain | changes))


def a_suspect(exe: str = "/usr/bin/tool", *, key: ProcessKey = A_KEY, evidence: Evidence | None = None, **program: Any) -> Suspect:
    """A suspect with one reason."""
    plain: dict[str, Any] = {"exe": exe, "argv": (exe,), "comm": exe.rpartition("/")[2][:15], "uid": 1000}
    return Suspect(
        key=key,
        program=Program(**(plain | program)),
        identity=Identity(exe, A_FILE, "/usr/bin/bash", None, 1000),
        reasons=(Reason(ReasonCode.NEW_PROGRAM, f"first start of {exe}"),),
        seen_ns=60 * SECOND_NS,
        evidence=evidence or Evidence(),
    )


def a_verdict(category: Category = Category.BACKGROUND, confidence: float = 0.9, **changes: Any) -> Verdict:
    """A sure verdict of the rules."""
    plain: dict[str, Any] = {"category": category, "confidence": confidence, "tier": Tier.RULES, "reason": "a rule says so"}
    return Verdict(**(plain | changes))


def a_symptom(**changes: Any) -> Symptom:
    """Somebody waits half of the time while the target takes a whole CPU."""
    plain: dict[str, Any] = {
        "window_ns": 2 * SECOND_NS,
        "target_cpu_pct": 100.0,
        "pressure_pct": 60.0,
        "run_queue_p99_us": 9000.0,
        "victims": (Victim(key=ProcessKey(5000, 20 * SECOND_NS), comm="mysqld", wait_pct=50.0),),
    }
    return Symptom(**(plain | changes))


def a_standing(**changes: Any) -> Standing:
    """An ordinary process without a terminal."""
    plain: dict[str, Any] = {
        "flags": 0x400000,
        "nice": 0,
        "policy": 0,
        "affinity_restricted": False,
        "leads_session": False,
        "owns_terminal": False,
    }
    return Standing(**(plain | changes))


def a_task(
    tgid: int, comm: str, *, cpu_s: float = 0.0, wait_s: float = 0.0, reaped_s: float = 0.0, ppid: int = 1, cgroup_id: int = 1
) -> TaskSample:
    """One process in a snapshot; counters in seconds."""
    return TaskSample(
        key=ProcessKey(tgid, tgid * SECOND_NS),
        ppid=ppid,
        uid=1000,
        comm=comm,
        cpu_ns=int(cpu_s * SECOND_NS),
        run_delay_ns=int(wait_s * SECOND_NS),
        rss_bytes=1 << 20,
        cgroup_id=cgroup_id,
        reaped_ns=int(reaped_s * SECOND_NS),
    )
