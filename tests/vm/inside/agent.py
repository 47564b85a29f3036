"""The agent as an operator uses it: files in /etc, the command, its JSON. All that the tests know of it is here."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vm.inside.units import HOG, PROTECTED
from vm.inside.waiting import output_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = "brainkernel"
QUOTA_PCT = 20.0
CONFIG_DIR = Path("/etc/brainkernel")
STATE_DIR = Path("/var/lib/brainkernel")
READY_S = 60.0  # under emulation the start takes ten times what it does elsewhere
STOP_S = 30.0
READERS_S = 10.0
NICE = -5  # as its unit has it

CONFIG = f"""
[policy.background]
limits = ["cpu_quota={QUOTA_PCT:g}%"]

[safety]
protected_exes = ["{PROTECTED}"]

[llm]
backend = "none"
"""
# The protected program is called background as well: only its protection can save it.
RULES = f"""
rules:
  - id: test-batch
    category: background
    confidence: 0.95
    reason: nobody waits for it
    match:
      exe: [{HOG}, {PROTECTED}]
"""


@dataclass(slots=True)
class Agent:
    """A running agent, and what it said so far."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)  # of --json, in order
    complaints: list[str] = field(default_factory=list)  # its log

    def kill(self) -> None:
        """End it as the kernel would: no handler runs."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C does; returns its exit status, or raises TimeoutExpired after killing it."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def told(self) -> str:
        """All that it said, for the message of a failed test."""
        return "\n".join([*map(json.dumps, self.lines[-50:]), *self.complaints[-50:]])


@contextmanager
def running_agent(mode: str = "enforce", *, config: str = CONFIG, rules: str = RULES) -> Iterator[Agent]:
    """Start the agent with a fresh state and wait until it answers. Whatever happens, it is gone afterwards, and its limits too."""
    _configure(config, rules)
    command = ["nice", f"--adjustment={NICE}", COMMAND, "run", "--mode", mode, "--json", "--state-dir", str(STATE_DIR)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
    ) as process:
        agent = Agent(process)
        readers = [threading.Thread(target=collect, args=(agent,), daemon=True) for collect in (_collect_lines, _collect_log)]
        for reader in readers:
            reader.start()
        try:
            wait_until(lambda: _answers(agent), f"an answer of the agent; it said:\n{agent.told()}", within_s=READY_S, every_s=0.5)
            yield agent
        except Exception as error:
            error.add_note(f"the agent said:\n{agent.told()}")
            raise
        finally:
            if process.poll() is None:
                agent.stop()
            for reader in readers:
                reader.join(READERS_S)
            left = [reader for reader in readers if reader.is_alive()]
            release_all()
        assert not left, "a process that the agent started outlives it and holds its output open"


def active_limits() -> list[dict[str, Any]]:
    """The limits that stand, as `list` shows them."""
    return [json.loads(line) for line in output_of(COMMAND, "list", "--active", "--json").splitlines()]


def undo(limit_id: int) -> None:
    """Take one limit back, as an operator does."""
    output_of(COMMAND, "undo", str(limit_id))


def release_all() -> None:
    """Take back whatever a dead agent has left, as its service does after a crash."""
    output_of(COMMAND, "release", "--all", "--state-dir", str(STATE_DIR))


def _configure(config: str, rules: str) -> None:
    shutil.rmtree(STATE_DIR, ignore_errors=True)
    (CONFIG_DIR / "rules.d").mkdir(parents=True, exist_ok=True)
    (CONFIG_DIR / "brainkernel.toml").write_text(config)
    (CONFIG_DIR / "rules.d" / "test.yaml").write_text(rules)


def _answers(agent: Agent) -> bool:
    assert agent.process.poll() is None, f"the agent ended by itself:\n{agent.told()}"
    return subprocess.run([COMMAND, "status", "--json"], capture_output=True, check=False).returncode == 0


def _collect_lines(agent: Agent) -> None:
    assert agent.process.stdout is not None
    for line in agent.process.stdout:
        try:
            agent.lines.append({**json.loads(line), "heard_s": time.monotonic()})
        except ValueError:
            agent.complaints.append(f"not JSON on stdout: {line!r}")


def _collect_log(agent: Agent) -> None:
    assert agent.process.stderr is not None
    for line in agent.process.stderr:
        agent.complaints.append(line.rstrip())
