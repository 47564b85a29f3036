"""The whole agent on this host's kernel: both processes, their sockets, and what an operator sees."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from support.agent_process import RunningAgent, brainkernel, running_agent
from support.kernel import require_kernel, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES = {"event_delivery", "gate", "enrich", "rules", "decide", "total"}


@pytest.fixture(autouse=True)
def _kernel() -> None:
    require_kernel()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose metrics are on a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    file = tmp_path / "brainkernel.toml"
    file.write_text(f'[http]\nlisten = "127.0.0.1:{port}"\n\n[llm]\nbackend = "none"\n')
    return file


@pytest.fixture
def agent(tmp_path: Path, config: Path) -> Iterator[RunningAgent]:
    with running_agent(tmp_path, "--config", str(config)) as running:
        yield running


def a_program(directory: Path, name: str) -> str:
    """A program that this host has never seen."""
    copy = directory / name
    shutil.copy("/bin/true", copy)
    return str(copy)


def the_gateway_of(agent: RunningAgent) -> psutil.Process:
    children = psutil.Process(agent.process.pid).children()
    return next(child for child in children if "gateway" in child.cmdline())


def test_every_new_program_is_on_stdout_with_the_times_of_its_stages(agent: RunningAgent, tmp_path: Path) -> None:
    """Fifty programs never seen before are fifty decisions, each with its stages, and none is lost."""
    programs = [a_program(tmp_path, f"program-{number}") for number in range(50)]

    for program in programs:
        subprocess.run([program, "--some", "argument"], check=True)

    decisions = [agent.decision_of(program) for program in programs]
    assert all(set(d["stages"]) >= STAGES for d in decisions)
    assert all(d["argv"] == [d["exe"], "--some", "argument"] for d in decisions)
    assert agent.stop() == 0
    (summary,) = wait_until("the summary", lambda: agent.of_type("summary"))
    assert summary["counts"]["events_lost"] == 0


def test_a_known_program_is_decided_about_once(agent: RunningAgent, tmp_path: Path) -> None:
    """The second start of a program is known: the kernel counts it, nobody decides again."""
    program = a_program(tmp_path, "again")
    subprocess.run([program], check=True)
    agent.decision_of(program)
    known = int(json.loads(agent.ask("status", "--json").stdout)["counts"]["known"])

    for _ in range(100):
        subprocess.run([program], check=True)

    wait_until("the hundred to be counted", lambda: json.loads(agent.ask("status", "--json").stdout)["counts"]["known"] >= known + 100)
    assert len(agent.of_type("decision", exe=program)) == 1


def test_hostile_argv_is_shown_escaped_and_breaks_nothing(agent: RunningAgent, tmp_path: Path) -> None:
    """Newlines, terminal escapes, bidi controls and bytes that are no text arrive as visible escapes on one line."""
    program = a_program(tmp_path, "hostile")
    argv = [program.encode(), b"a\nb", b"\x1b[2J", "\u202eevil".encode(), b"\xff\xfe", b""]

    pid = os.posix_spawn(program, argv, os.environ)
    os.waitpid(pid, 0)

    assert agent.decision_of(program)["argv"][1:] == ["a\\x0ab", "\\x1b[2J", "\\u202eevil", "\\xff\\xfe", ""]


def test_explain_tells_the_whole_story_of_a_decision(agent: RunningAgent, tmp_path: Path) -> None:
    """The number on the line leads to the event, the stages and the reason."""
    program = a_program(tmp_path, "explained")
    subprocess.run([program], check=True)
    decision = agent.decision_of(program)

    told = agent.ask("explain", str(decision["id"]))

    assert told.returncode == 0
    assert program in told.stdout
    assert "first start of" in told.stdout


def test_commands_name_what_is_wrong_with_their_exit_code(agent: RunningAgent) -> None:
    """A decision that is not there is a usage error that says where to look."""
    unknown = agent.ask("undo", "999999")

    assert unknown.returncode == 2
    assert "brainkernel list" in unknown.stderr
    assert len(unknown.stderr.splitlines()) == 1


def test_pause_and_resume_are_told_by_status(agent: RunningAgent) -> None:
    """The kill switch works over the control socket, and by signal."""
    agent.ask("pause")
    paused = json.loads(agent.ask("status", "--json").stdout)
    agent.ask("resume")
    resumed = json.loads(agent.ask("status", "--json").stdout)
    agent.process.send_signal(signal.SIGUSR1)

    assert paused["paused"] is True
    assert resumed["paused"] is False
    wait_until("the signal to pause it", lambda: json.loads(agent.ask("status", "--json").stdout)["paused"])


def test_a_file_in_the_runtime_directory_pauses(agent: RunningAgent) -> None:
    """The kill switch that needs no daemon to be asked; `resume` says what holds it."""

    def is_paused() -> bool:
        return json.loads(agent.ask("status", "--json").stdout)["paused"] is True

    file = Path(agent.runtime_dir) / "paused"
    file.touch()
    wait_until("the pause", is_paused)

    resumed = agent.ask("resume")
    assert str(file) in resumed.stdout
    assert is_paused()

    file.unlink()
    wait_until("the end of the pause", lambda: not is_paused())


def test_metrics_are_served_by_the_gateway_with_a_histogram_per_stage(agent: RunningAgent, config: Path, tmp_path: Path) -> None:
    """What Prometheus scrapes has the stages' histograms and the books of the kernel."""
    program = a_program(tmp_path, "measured")
    subprocess.run([program], check=True)
    agent.decision_of(program)
    address = config.read_text().split('"')[1]

    def scraped() -> str:
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as response:
                return str(response.read().decode())
        except OSError:
            return ""

    text = wait_until("figures of the daemon", lambda: text if 'stage="total"' in (text := scraped()) else None)
    assert 'brainkernel_stage_seconds_bucket{le="+Inf",stage="gate"}' in text
    assert 'brainkernel_kernel_events_total{fate="submitted",kind="exec"}' in text


def test_the_privileged_process_has_no_ip_socket_and_the_gateway_no_privileges(agent: RunningAgent) -> None:
    """The daemon speaks Unix sockets alone; the gateway is nobody, without a capability to regain."""
    wait_until("the gateway to greet", lambda: [n for n in agent.of_type("notice") if n["text"].startswith("LLM ")])
    gateway = the_gateway_of(agent)

    status = dict(line.split(":\t", 1) for line in (gateway_status(gateway)).splitlines() if ":\t" in line)

    assert psutil.Process(agent.process.pid).net_connections(kind="inet") == []
    assert set(status["Uid"].split()) == {"65534"}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def gateway_status(gateway: psutil.Process) -> str:
    with open(f"/proc/{gateway.pid}/status") as file:  # noqa: PTH123
        return file.read()


def test_the_daemon_goes_on_when_the_gateway_dies(agent: RunningAgent, tmp_path: Path) -> None:
    """Killed at once, the gateway takes nothing with it: the next program is decided by the rules."""
    wait_until("the gateway to greet", lambda: [n for n in agent.of_type("notice") if n["text"].startswith("LLM ")])
    the_gateway_of(agent).kill()
    wait_until("the notice of it", lambda: [n for n in agent.of_type("notice") if "gateway went away" in n["text"]])

    program = a_program(tmp_path, "alone")
    subprocess.run([program], check=True)

    assert agent.decision_of(program)["decision"] == "note"


def test_a_second_agent_refuses_and_says_who_is_there(agent: RunningAgent, tmp_path: Path) -> None:
    """Two agents on one host would fight: the second ends at once with one line."""
    second = brainkernel("run", "--state-dir", str(tmp_path / "other"), "--runtime-dir", agent.runtime_dir)

    assert second.returncode == 1
    assert f"pid {agent.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_reload_keeps_the_old_configuration_when_the_new_one_is_wrong(agent: RunningAgent, config: Path) -> None:
    """SIGHUP with a typing error in the file: one notice with its line, and the agent runs on."""
    config.write_text(config.read_text() + "\n[gate]\ndebounce = 3\n")

    agent.process.send_signal(signal.SIGHUP)

    (notice,) = wait_until("the notice", lambda: [n for n in agent.of_type("notice") if "old configuration" in n["text"]])
    assert f"{config}:8" in notice["text"]
    assert "debounce_s" in notice["text"]
    assert agent.ask("status").returncode == 0


def test_a_restart_is_no_cold_start(tmp_path: Path, config: Path) -> None:
    """A program met by an earlier run is known to the kernel's gate of the next one from the beginning."""
    program = a_program(tmp_path, "met")
    with running_agent(tmp_path, "--config", str(config)) as first:
        subprocess.run([program], check=True)
        first.decision_of(program)
        first.stop()

    with running_agent(tmp_path, "--config", str(config)) as second:
        subprocess.run([program], check=True)
        marker = a_program(tmp_path, "marker")
        subprocess.run([marker], check=True)
        second.decision_of(marker)

        assert second.of_type("decision", exe=program) == []


def test_all_events_shows_known_programs_too(tmp_path: Path, config: Path) -> None:
    """With the gate in the kernel off, each of ten starts is an event, and still only the first a decision."""
    program = a_program(tmp_path, "shown")

    with running_agent(tmp_path, "--config", str(config), "--all-events") as agent:
        for _ in range(10):
            subprocess.run([program], check=True)

        wait_until("ten events", lambda: len(agent.of_type("event", exe=program)) == 10)
        assert len(agent.of_type("decision", exe=program)) == 1
