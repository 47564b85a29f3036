"""What the kernel says of a process that a person placed, or sits at: by the real programs that place them."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.procfs import read_member
from brainkernel.act.scheduling import read_ioprio
from brainkernel.config import Safety
from brainkernel.decide.safety import Surroundings, objections_of
from brainkernel.enrich.standing import read_standing
from support.nouns import a_suspect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.model import ProcessKey, Standing

PROC = Path("/proc")
JOB = ("/bin/sh", "-c", "sleep 1000; true")  # a shell with a child
PRELOAD = "LD_PRELOAD=libgamemodeauto.so.0"  # as gamemoderun says it; the loader warns where there is none
ATTEMPTS = 200


@contextmanager
def child_of(*command: str) -> Iterator[ProcessKey]:
    """The sleep that the command started at last; of ordinary nice value, whatever these tests run with."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.setpriority(os.PRIO_PROCESS, 0, 0)) as job:  # noqa: PLW1509 # no threads
        try:
            sleeper = sleeper_below(job.pid)
            yield sleeper
            os.kill(sleeper.tgid, signal.SIGKILL)
        finally:
            job.kill()


def sleeper_below(pid: int) -> ProcessKey:
    for _ in range(ATTEMPTS):
        for child in (PROC / f"{pid}/task/{pid}/children").read_text().split():
            member = read_member(PROC, int(child))
            if member is not None and member.argv.startswith("sleep"):
                return member.key
        time.sleep(0.05)
    pytest.fail(f"process {pid} never started its child")


def standing_of(key: ProcessKey) -> Standing:
    standing = read_standing(PROC, key)
    assert standing is not None
    return standing


def rules_against(key: ProcessKey) -> list[str]:
    around = Surroundings(
        suspect=a_suspect(key=key),
        standing=replace(standing_of(key), io_priority=read_ioprio(key.tgid)),
        ancestor_exes=(),
        own=frozenset(),
        limits_last_minute=0,
        limits_active=0,
    )
    return [refusal.rule for refusal in objections_of(around, Safety())]


def test_an_ordinary_child_was_decided_about_by_nobody() -> None:
    """The other side of what follows."""
    with child_of(*JOB) as child:
        assert rules_against(child) == []


@pytest.mark.parametrize(
    "command",
    [
        ("nice", "-n", "5"),
        ("chrt", "--batch", "0"),
        ("chrt", "--idle", "0"),
        ("chrt", "--rr", "1"),
        ("taskset", "--cpu-list", "0"),
        ("ionice", "-c", "3"),
        ("ionice", "-c", "2", "-n", "7"),
        ("env", PRELOAD),
    ],
    ids=" ".join,
)
def test_whoever_a_person_placed_is_left_alone_with_all_below(command: tuple[str, ...]) -> None:
    """None of these programs is an ancestor: each becomes what it starts, whose children have it from there."""
    if command[0] == "taskset" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one CPU is all there is; run it on a host with two")
    with child_of(*command, *JOB) as child:
        assert rules_against(child) == ["decided_by_a_person"]


def test_a_variable_that_only_resembles_it_is_no_decision() -> None:
    """Who has a library of games somewhere in its environment is not in game mode."""
    with child_of("env", "GAME=libgamemodeauto.so.0", *JOB) as child:
        assert rules_against(child) == []


@pytest.mark.parametrize(("job_control", "rules"), [("-m", ["terminal"]), ("+m", [])])
def test_the_foreground_of_a_terminal_is_seen(job_control: str, rules: list[str]) -> None:
    """And the shell that leads its session; without job control all children are in the shell's group, in the foreground or not."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        os.execv("/bin/sh", ["sh", job_control, "-c", "sleep 1000; true"])  # noqa: S606 # a shell is what is wanted
    try:
        child = sleeper_below(pid)
        shell = read_member(PROC, pid)
        assert shell is not None
        assert rules_against(shell.key) == ["session_leader"]
        assert rules_against(child) == rules
    finally:
        os.close(terminal)  # hangs up: both end
        os.waitpid(pid, 0)


def test_a_pid_that_is_anothers_has_no_standing() -> None:
    """Neither has one that is nobody's."""
    member = read_member(PROC, os.getpid())
    assert member is not None

    assert read_standing(PROC, type(member.key)(member.key.tgid, member.key.start_ns + 1_000_000_000)) is None
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert read_standing(PROC, type(member.key)(ended.pid, 0)) is None
