"""A real agent, from an exec in the kernel to what a browser and Prometheus get of it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from support.agent_process import running_agent
from support.gateway_process import fetched
from support.kernel import require_kernel, wait_until
from support.required import missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_exec_reaches_the_dashboard_and_no_name_reaches_prometheus(tmp_path: Path) -> None:
    """A program with a hostile name: its decision and story are there as text, figures over time move; metrics name kinds alone."""
    require_kernel()
    if shutil.which("promtool") is None:
        missing("promtool", "apt-get install prometheus")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    config = tmp_path / "brainkernel.toml"
    config.write_text(f'[http]\nlisten = "{url[7:-1]}"\n[llm]\nbackend = "none"\n')
    odd = tmp_path / "<script>needle"
    shutil.copy("/bin/true", odd)

    def api(path: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(fetched(f"{url}api/{path}"))
        return answer

    with running_agent(tmp_path, "--config", str(config)) as agent:
        pid = run(odd, "--password=verysecret1", "needle-argument")
        decision = agent.decision_of(str(odd))
        wait_until("the gateway", lambda: _works(lambda: fetched(f"{url}metrics")), 60)
        story = api(f"decisions/{decision['id']}")
        found = api("decisions?kind=note&limit=100")["decisions"]
        wait_until("figures", lambda: any(v is not None for v in _means(api("series?range=60&name=own_memory_bytes"))), 60)
        wait_until("each decision's time", lambda: _counted(api("series?range=300&name=decision_times.*")) >= len(found), 60)
        wait_until("the gateway's", lambda: any(v for v in _means(api("series?range=60&name=gateway_memory_bytes"))), 60)
        metrics = fetched(f"{url}metrics")

    assert [line for line in found if line["exe"] == str(odd)]
    assert "needle-argument" in story["argv"]
    assert "verysecret1" not in json.dumps(story)
    assert "needle" not in metrics
    assert f'"{pid}"' not in metrics
    assert len(re.findall(r"^brainkernel_", metrics, re.MULTILINE)) < 2_000
    checked = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def _counted(answer: dict[str, Any]) -> int:
    lines = answer["series"].values()
    times: float = sum((mean or 0.0) * samples for line in lines for mean, samples in zip(line["mean"], line["samples"], strict=True))
    return round(times)


def run(*command: str | Path) -> int:
    with subprocess.Popen([str(word) for word in command]) as process:
        process.wait()
        return process.pid


def _means(answer: dict[str, Any]) -> list[float | None]:
    return [value for line in answer["series"].values() for value in line["mean"]]


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
