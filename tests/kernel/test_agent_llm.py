"""The whole agent with a language model behind its gateway: asked, late, and talking nonsense."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from support import loopback
from support.agent_process import RunningAgent, running_agent
from support.fake_ollama import FakeOllama
from support.kernel import require_kernel, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEADLINE_MS = 1500


@pytest.fixture(autouse=True)
def _kernel() -> None:
    require_kernel()


def says_background(request: dict[str, Any]) -> str:
    """Answer for as many programs as were asked about."""
    lines = request["messages"][-1]["content"].splitlines()
    return json.dumps(
        {"verdicts": [{"n": n, "reason": "a batch job", "category": "background", "confidence": 0.9} for n, _ in enumerate(lines, 1)]}
    )


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    fake = FakeOllama(says_background)
    with fake.running():
        yield fake


@pytest.fixture
def agent(tmp_path: Path, ollama: FakeOllama) -> Iterator[RunningAgent]:
    config = tmp_path / "brainkernel.toml"
    config.write_text(f'[http]\nlisten = ""\n\n[llm]\nbackend = "ollama"\ndeadline_ms = {DEADLINE_MS}\n')
    with running_agent(tmp_path, "--config", str(config), environment={"OLLAMA_HOST": ollama.host}) as running:
        wait_until("the gateway to greet", lambda: [n for n in running.of_type("notice") if n["text"].startswith("LLM ollama")])
        yield running


def started(directory: Path, name: str, *argv: str) -> str:
    """Start a program that no rule and no package knows; its path."""
    program = directory / name
    shutil.copy("/bin/true", program)
    subprocess.run([program, *argv], check=True)
    return str(program)


def run_as(uid: int, program: str) -> None:
    subprocess.run(["/usr/bin/setpriv", f"--reuid={uid}", "--clear-groups", program], check=True)


def test_an_unknown_program_gets_the_models_verdict(agent: RunningAgent, public_dir: Path) -> None:
    """What the cheaper tiers do not know, the model is asked once, and its answer is shown with its name."""
    decision = agent.decision_of(started(public_dir, "acme-batch"))

    assert (decision["tier"], decision["category"]) == ("llm", "background")
    assert {"llm_queue", "llm"} <= set(decision["stages"])


def test_a_second_use_is_answered_by_the_cache(agent: RunningAgent, public_dir: Path, ollama: FakeOllama) -> None:
    """The same program for another person is a new use, and costs no second call."""
    program = started(public_dir, "acme-batch")
    run_as(2001, program)
    wait_until("the first person's", lambda: agent.of_type("decision", exe=program, uid=2001))
    calls = len(ollama.requests)

    run_as(2002, program)

    (again,) = wait_until("the second person's", lambda: agent.of_type("decision", exe=program, uid=2002))
    assert (again["tier"], again["category"]) == ("cache", "background")
    assert len(ollama.requests) == calls


def test_secrets_of_a_command_line_do_not_reach_the_model(agent: RunningAgent, public_dir: Path, ollama: FakeOllama) -> None:
    """What is asked is redacted before it leaves the daemon."""
    agent.decision_of(started(public_dir, "acme-sync", "--password=Sommer2024!au5", "--host=db01"))

    asked = json.dumps(ollama.requests)
    assert "Sommer2024" not in asked
    assert "--host=db01" in asked


def test_a_late_answer_is_kept_for_the_next_time(agent: RunningAgent, public_dir: Path, ollama: FakeOllama) -> None:
    """Beyond the deadline the program stays unknown; what the model said then still goes into the cache."""

    def slow(request: dict[str, Any]) -> str:
        time.sleep(DEADLINE_MS / 1000 + 1)
        return says_background(request)

    ollama.content = slow
    program = started(public_dir, "acme-slow")
    agent.decision_of(program)
    run_as(2001, program)
    (decision,) = wait_until("a decision in time", lambda: agent.of_type("decision", exe=program, uid=2001))

    assert (decision["category"], decision["decision"]) == ("unknown", "note")

    # Others start unknown programs on this host, too, and the model is as slow for them: when its answer comes is not ours to say.
    later_users = itertools.count(2002)

    def found_in_the_cache() -> dict[str, Any] | None:
        uid = next(later_users)
        run_as(uid, program)
        (again,) = wait_until("the next person's", lambda: agent.of_type("decision", exe=program, uid=uid))
        return again if again["tier"] == "cache" else None

    assert wait_until("the late answer", found_in_the_cache)["category"] == "background"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "I am sorry, I cannot do that.",
        "<html><body>502</body></html>",
        '{"verdicts":[{"n":1,"reason":"x","category":"harmless","confidence":0.9}]}',
        '{"verdicts":[{"n":1,"reason":"x","category":"service","confidence":1e15}]}',
    ],
)
def test_nonsense_of_a_model_is_unknown_and_harms_nobody(agent: RunningAgent, public_dir: Path, ollama: FakeOllama, content: str) -> None:
    """The program is left alone, and the next one is handled as ever."""
    ollama.content = content

    decision = agent.decision_of(started(public_dir, "acme-odd"))

    assert (decision["category"], decision["tier"]) == ("unknown", "none")
    assert agent.ask("status").returncode == 0


@pytest.mark.parametrize("fault", [loopback.html, loopback.huge, loopback.dead, loopback.truncated_json])
def test_a_broken_model_server_is_unknown_and_harms_nobody(
    agent: RunningAgent, public_dir: Path, ollama: FakeOllama, fault: Callable[[Any], None]
) -> None:
    """HTML, 10 MB, a closed connection and half an answer all end as unknown within the deadline."""
    ollama.fault = fault

    decision = agent.decision_of(started(public_dir, "acme-broken"))

    assert (decision["category"], decision["tier"]) == ("unknown", "none")
