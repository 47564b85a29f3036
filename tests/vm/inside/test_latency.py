"""What it is all for: a service that measures its own latency gets it back, and who took it goes on and finishes."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vm.inside import requests
from vm.inside.agent import COMMAND, RULES, active_limits, running_agent
from vm.inside.cgroups import ROOT, cgroup_values, changes, settings_of
from vm.inside.sessions import KEY, USER, a_login_session
from vm.inside.systemd import property_of
from vm.inside.units import HOG
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

LOG = Path("/run/act-requests.log")
SERVICE = "requests.service"
BACK_WITHIN_S = 15.0
AT_MOST = 1.5  # times the undisturbed latency
WINDOW_S = 4.0
CC1 = "/usr/lib/gcc/x86_64-linux-gnu/12/cc1"
CONFIG = '[llm]\nbackend = "none"\n'  # the policy as it is shipped
BATCH = f"""
rules:
  - id: test-load
    category: background
    confidence: 0.95
    reason: nobody waits for it
    match:
      exe: [/usr/bin/stress-ng, {CC1}]
"""
FUNCTIONS = 60  # some ten seconds of an emulated CPU
STORM = 500
STORM_S = 60.0


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


def a_source_file(directory: Path, functions: int) -> Path:
    """One C file without headers that keeps an optimiser busy."""
    body = (
        "int f%d(int *a, int n) { int s = 0; for (int i = 0; i < n; i++) for (int j = i; j < n; j++) s += a[i] * a[j] + %d; return s; }\n"
    )
    file = directory / "big.c"
    file.write_text("".join(body % (number, number) for number in range(functions)))
    file.chmod(0o644)
    return file


@contextmanager
def a_load() -> Iterator[subprocess.Popen[bytes]]:
    """stress-ng in a service of its own and a compile in a login: the latter's process, ended in any case."""
    source = a_source_file(Path("/home") / USER, FUNCTIONS)
    compile_it = ["ssh", "-q", "-o", "BatchMode=yes", "-i", str(KEY), f"{USER}@127.0.0.1", f"gcc -O2 -c {source.name} -o big.o"]
    stress = ["stress-ng", "--cpu", "4", "--timeout", "30s"]
    output_of("systemd-run", "--quiet", "-p", "RemainAfterExit=yes", "--unit=load.service", *stress)
    with subprocess.Popen(compile_it) as compiler:
        try:
            yield compiler
        finally:
            compiler.kill()
            subprocess.run(["systemctl", "stop", "load.service", "user-1000.slice"], check=False)


def test_latency_comes_back_while_stress_and_a_compile_go_on_and_finish(capsys: pytest.CaptureFixture[str]) -> None:
    """Within 15 s of the first harm to 1.5 times of what it was undisturbed; nobody else is touched, nothing remains."""
    with a_request_service(), running_agent(config=CONFIG, rules=BATCH) as agent:
        time.sleep(10)
        undisturbed_s = p99_of_the_last(8)
        before, seen = cgroup_values(), []
        with a_load() as compiler:
            started_s = time.monotonic()

            def is_back() -> bool:
                if time.monotonic() - started_s < WINDOW_S:
                    return False
                seen.append(p99_of_the_last(WINDOW_S))
                return bool(active_limits()) and seen[-1] <= AT_MOST * undisturbed_s

            try:
                wait_until(is_back, f"latency of {undisturbed_s:.4f} s again", within_s=BACK_WITHIN_S, every_s=0.5)
            finally:
                took_s = time.monotonic() - started_s
                shown = " ".join(f"{1000 * one:.0f}" for one in seen)
                say(capsys, f"p99 undisturbed {1000 * undisturbed_s:.1f} ms, then {shown} ms; {took_s:.1f} s")
            limited = {limit["comm"] for limit in active_limits()}
            assert limited <= {"stress-ng-cpu", "stress-ng", "cc1"}, limited
            service = ROOT / "system.slice" / SERVICE
            own = f"/{service.relative_to(ROOT)} "
            assert changes({name: value for name, value in before.items() if name.startswith(own)}, settings_of(service)).keys() <= {
                f"{own}{name}" for name in ("cpu.weight", "cpu.idle", "cpu.max", "cpu.max.burst", "cpu.weight.nice")
            }  # files that come with the controller, at the kernel's defaults
            wait_until(lambda: property_of("load.service", "SubState") == "exited", "the end of stress-ng", within_s=60)
            assert compiler.wait(60) == 0
        assert agent.stop() == 0
        assert changes(before, cgroup_values()) == {}


def test_a_storm_of_short_hogs_leaves_no_scope_and_keeps_to_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """Five hundred in a minute, in a login session: at most ten limits a minute, and nothing of any of them remains."""
    with a_login_session() as session, running_agent(config=CONFIG, rules=RULES) as agent:
        loop = f"for i in $(seq {STORM}); do timeout 4 {HOG} >/dev/null & sleep {STORM_S / STORM:.2f}; done; wait"
        started_s = time.monotonic()
        subprocess.run(["ssh", "-q", "-o", "BatchMode=yes", "-i", str(KEY), f"{USER}@127.0.0.1", loop], check=True, timeout=400)
        took_s = time.monotonic() - started_s
        set_limits = [line for line in agent.lines if line.get("type") == "action"]
        ids = {line["id"] for line in set_limits}
        say(capsys, f"{STORM} hogs in {took_s:.0f} s, {len(ids)} limits")

        assert ids
        assert len(ids) <= 10 * (took_s / 60 + 1)
        wait_until(lambda: len(active_limits()) <= 2, "the end of all limits but those of the session's own hogs", within_s=30)
        assert session.shell
        assert agent.stop() == 0
    assert output_of("systemctl", "list-units", "--all", "--plain", "--no-legend", "brainkernel-*") == ""
    assert list(Path("/run/systemd/transient").glob("brainkernel-*")) == []
    assert output_of(COMMAND, "release", "--all", "--state-dir", "/var/lib/brainkernel").count("released") == 0
