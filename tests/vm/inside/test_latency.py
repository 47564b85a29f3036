"""What it is all for: a service that measures its own latency gets it back, and who took it goes on and finishes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vm.inside import requests, storm
from vm.inside.agent import COMMAND, RULES, Agent, active_limits, running_agent
from vm.inside.cgroups import ROOT, cgroup_values, changes, settings_of
from vm.inside.sessions import KEY, USER, a_login_session
from vm.inside.systemd import property_of, sessions_of
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = Path("/run/act-requests.log")
SERVICE = "requests.service"
BACK_WITHIN_S = 15.0
AT_MOST = 1.5  # times the undisturbed latency
WINDOW_S = 4.0  # two hundred requests
QUIET_WINDOWS = 5
ATTEMPTS = 3
# What a build may be slowed to is an operator's word: the shipped policy only weighs it. In a login it has user.slice's whole
# weight while its quota lasts: 20 % are 20 ms on end, in which the requests wait; 5 % are five.
CONFIG = """
[policy]
lease_s = 20.0

[policy.development]
limits = ["cpu_weight=20", "idle", "idle cpu_quota=5%"]

[llm]
backend = "none"
"""
STRESS = """
rules:
  - id: test-load
    category: background
    confidence: 0.95
    reason: nobody waits for it
    match:
      exe: [/usr/bin/stress-ng]
"""
SOURCES = 16
FUNCTIONS = 6  # in each: about a second of an emulated CPU
STORM_S = 60.0
RATE_PER_MINUTE = 2  # so few that the storm comes up against it


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Put a measured figure into the log of the run, also when the test passes."""
    with capsys.disabled():
        sys.stderr.write(f"\nmeasured: {text}\n")


@contextmanager
def a_request_service() -> Iterator[None]:
    output_of("systemd-run", "--quiet", "--collect", f"--unit={SERVICE}", "/usr/bin/python3", requests.__file__, str(LOG))
    try:
        wait_until(lambda: LOG.exists() and LOG.stat().st_size > 1000, "requests that are answered")
        yield
    finally:
        output_of("systemctl", "stop", SERVICE)
        LOG.unlink()


def p99_of_the_last(seconds: float) -> float:
    now_s = time.monotonic()
    return requests.p99_s(LOG, now_s - seconds, now_s)


def quiet_p99s() -> list[float]:
    """The latency of several windows in a row while nobody disturbs, each as long as those that are compared with it."""
    found = []
    for _ in range(QUIET_WINDOWS):
        time.sleep(WINDOW_S)
        found.append(p99_of_the_last(WINDOW_S))
    return found


def a_source_tree(directory: Path) -> None:
    """A makefile and C files without headers that keep an optimiser busy."""
    body = (
        "int f%d(int *a, int n) { int s = 0; for (int i = 0; i < n; i++) for (int j = i; j < n; j++) s += a[i] * a[j] + %d; return s; }\n"
    )
    directory.mkdir()
    names = [f"part{number}" for number in range(SOURCES)]
    for name in names:
        (directory / f"{name}.c").write_text("".join(body % (number, number) for number in range(FUNCTIONS)))
    (directory / "Makefile").write_text(f"all: {' '.join(f'{name}.o' for name in names)}\n%.o: %.c\n\tgcc -O2 -c $< -o $@\n")
    output_of("chown", "-R", USER, str(directory))


@contextmanager
def a_load() -> Iterator[subprocess.Popen[str]]:
    """A login that waits for a line to begin its build, and stress-ng in a service of its own, which has begun: the login's process."""
    tree = Path("/home") / USER / "build"
    a_source_tree(tree)
    build = f"read -r begin && exec make -s -j2 -C {tree.name}"
    login = ["ssh", "-q", "-o", "BatchMode=yes", "-i", str(KEY), f"{USER}@127.0.0.1", build]
    known = sessions_of(USER)
    with subprocess.Popen(login, stdin=subprocess.PIPE, text=True) as builder:
        try:
            wait_until(lambda: set(sessions_of(USER)) - set(known), "a session of logind")
            time.sleep(5)  # what a login brings with it
            stress = ["stress-ng", "--cpu", "4", "--timeout", "30s"]
            output_of("systemd-run", "--quiet", "-p", "RemainAfterExit=yes", "--unit=load.service", *stress)
            assert builder.stdin is not None
            builder.stdin.write("\n")
            builder.stdin.flush()
            yield builder
        finally:
            builder.kill()
            subprocess.run(["systemctl", "stop", "load.service", "user-1000.slice"], check=False)
            subprocess.run(["rm", "-rf", str(tree)], check=True)


def _course_of(agent: Agent, started_s: float) -> str:
    """What the agent did about the load, with the seconds since it began."""
    return "; ".join(
        f"{line['heard_s'] - started_s:.1f} s {_told(line)}"
        for line in list(agent.lines)
        if line["heard_s"] >= started_s
        and (line["type"] in ("action", "outcome", "release") or line.get("decision") in ("limit", "refused"))
    )


def _told(line: dict[str, Any]) -> str:
    words = (line["type"], line.get("id"), line.get("comm") or line.get("exe"), line.get("limit"), line.get("text"), line.get("reason"))
    return " ".join(str(word) for word in words if word)


@pytest.mark.skipif(
    "brainkernel.in_one_thread" in Path("/proc/cmdline").read_text(),
    reason="QEMU runs both CPUs in one thread since the kernel died with two: whose the time was cannot be told; run it again",
)
def test_latency_comes_back_while_stress_and_a_build_go_on_and_finish(capsys: pytest.CaptureFixture[str]) -> None:
    """Within 15 s of the load's begin to 1.5 times of what it was undisturbed; nobody else is touched, nothing remains.

    An emulated machine beside other work has moments in which nothing is on time, with or without us: what is said of
    others and of what remains holds at each attempt, what is said of time at one of a few.
    """
    assert any(_comes_back(capsys) for _ in range(ATTEMPTS)), "at no attempt; the figures are above"


def _comes_back(capsys: pytest.CaptureFixture[str]) -> bool:
    with a_request_service(), running_agent(config=CONFIG, rules=STRESS) as agent:
        time.sleep(10)  # the agent's own start
        quiet = quiet_p99s()
        undisturbed_s = statistics.median(quiet)
        before = cgroup_values()
        with a_load() as builder:
            started_s = time.monotonic()  # both have just been let loose
            seen = _p99s_until_back(agent, started_s, AT_MOST * undisturbed_s)
            took_s, is_back = time.monotonic() - started_s, bool(_limited(agent)) and seen[-1] <= AT_MOST * undisturbed_s
            say(capsys, f"p99 undisturbed {' '.join(f'{1000 * one:.1f}' for one in quiet)} ms")
            say(capsys, f"p99 under load {' '.join(f'{1000 * one:.0f}' for one in seen)} ms; {took_s:.1f} s")
            say(capsys, _course_of(agent, started_s))
            service = ROOT / "system.slice" / SERVICE
            own = f"/{service.relative_to(ROOT)} "
            assert changes({name: value for name, value in before.items() if name.startswith(own)}, settings_of(service)).keys() <= {
                f"{own}{name}" for name in ("cpu.weight", "cpu.idle", "cpu.max", "cpu.max.burst", "cpu.weight.nice")
            }  # files that come with the controller, at the kernel's defaults
            wait_until(lambda: property_of("load.service", "SubState") == "exited", "the end of stress-ng", within_s=90)
            assert builder.wait(240) == 0
            say(capsys, f"the build ended {time.monotonic() - started_s:.0f} s after its begin")
        assert _limited(agent) <= {"stress-ng", "make"}, _limited(agent)
        assert agent.stop() == 0
        assert changes(before, cgroup_values()) == {}
    return is_back


def _p99s_until_back(agent: Agent, started_s: float, enough_s: float) -> list[float]:
    """The latency of each window since the load began, until it is back or the time is over."""
    time.sleep(WINDOW_S)
    seen = [p99_of_the_last(WINDOW_S)]
    while not (_limited(agent) and seen[-1] <= enough_s) and time.monotonic() - started_s < BACK_WITHIN_S:
        time.sleep(0.5)
        seen.append(p99_of_the_last(WINDOW_S))
    return seen


def _limited(agent: Agent) -> set[str]:
    return {line["comm"] for line in list(agent.lines) if line["type"] == "action"}


def test_a_storm_of_short_hogs_leaves_no_scope_and_keeps_to_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """Five hundred in a minute (emulated: two or three): limits come at their rate, the others are refused by name, and nothing remains."""
    config = f"{CONFIG}\n[safety]\nmax_limits_per_minute = {RATE_PER_MINUTE}\n"
    with a_login_session() as session, running_agent(config=config, rules=RULES) as agent:
        blow = f"python3 {storm.__file__} {STORM_S}"
        done = subprocess.run(
            ["ssh", "-q", "-o", "BatchMode=yes", "-i", str(KEY), f"{USER}@127.0.0.1", blow],
            check=True, timeout=400, capture_output=True, text=True,
        )  # fmt: skip
        took_s = float(done.stdout)
        ids = {line["id"] for line in list(agent.lines) if line["type"] == "action"}
        refused = Counter(refusal["rule"] for line in list(agent.lines) for refusal in line.get("refusals", ()))
        say(capsys, f"{storm.HOGS} hogs in {took_s:.0f} s: {len(ids)} limits, refused: {dict(refused)}")

        assert ids
        assert len(ids) <= RATE_PER_MINUTE * (took_s / 60 + 1)
        assert refused["rate_limit"] > 0
        wait_until(lambda: len(active_limits()) <= 2, "the end of all limits but those of the session's own hogs", within_s=60)
        assert session.shell
        assert agent.stop() == 0
    assert output_of("systemctl", "list-units", "--all", "--plain", "--no-legend", "brainkernel-*") == ""
    assert list(Path("/run/systemd/transient").glob("brainkernel-*")) == []
    assert output_of(COMMAND, "release", "--all", "--state-dir", "/var/lib/brainkernel").count("released") == 0
