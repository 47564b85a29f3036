"""A real agent in the foreground, as a test sees it: its command, its JSON lines, its sockets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.kernel import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

BRAINKERNEL = (sys.executable, "-m", "brainkernel")


@dataclass(slots=True)
class RunningAgent:
    """One `brainkernel run --json`, and what it said so far."""

    process: subprocess.Popen[str]
    runtime_dir: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    def of_type(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """The objects of one type whose fields have these values."""
        return [line for line in list(self.lines) if line["type"] == kind and all(line.get(k) == v for k, v in wanted.items())]

    def decision_of(self, exe: str) -> dict[str, Any]:
        """The first decision about a program; waits for it."""
        return wait_until(f"a decision about {exe}", lambda: next(iter(self.of_type("decision", exe=exe)), None))

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI against this agent."""
        return brainkernel(*words, "--runtime-dir", self.runtime_dir)

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


def brainkernel(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run([*BRAINKERNEL, *words], capture_output=True, text=True, timeout=60, check=False, **options)


@contextmanager
def running_agent(directory: Path, *options: str, environment: dict[str, str] | None = None) -> Iterator[RunningAgent]:
    """Start an agent with its state in `directory`, wait until it sees events; end it in any case."""
    # pytest's own directories are closed to the user whom the gateway becomes.
    runtime_dir = tempfile.mkdtemp(prefix="brainkernel-test-")
    Path(runtime_dir).chmod(0o755)
    command = [*BRAINKERNEL, "run", "--json", "--state-dir", str(directory / "state"), "--runtime-dir", runtime_dir, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | (environment or {}))
    agent = RunningAgent(process, runtime_dir)
    reader = threading.Thread(target=_read, args=(agent,), daemon=True)
    reader.start()
    try:
        wait_until("the agent to be ready", lambda: any(n["text"].startswith("loader ") for n in agent.of_type("notice")) or process.poll())
        yield agent
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        reader.join(10)
        assert process.stdout is not None
        process.stdout.close()
        shutil.rmtree(runtime_dir)


def _read(agent: RunningAgent) -> None:
    assert agent.process.stdout is not None
    for line in agent.process.stdout:
        agent.lines.append(json.loads(line))
