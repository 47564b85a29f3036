"""`brainkernel exam` through a real gateway process: a strict Ollama that knows, one that does not, a real tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from brainkernel.asking import question_of
from brainkernel.clock import SystemClock
from brainkernel.config import Store as StoreConfig
from brainkernel.exam.paper import read_paper
from brainkernel.gateway.llm.prompt import PROMPT_VERSION, messages_of
from brainkernel.model import Category
from brainkernel.store import open_store
from support.control_side import serving
from support.fake_ollama import FakeOllama
from support.nobody import needs_root
from support.questions import an_answer, an_entry
from support.real_model import NotFetchedError, fetched
from support.required import missing

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.model import ExamResult

pytestmark = needs_root


def examined(tmp_path: Path, *words: str, environment: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Run the exam as a person would; the exit code and its JSON."""
    command = [sys.executable, "-m", "brainkernel", "exam", "--json", "--state-dir", str(tmp_path / "state")]
    command += ["--runtime-dir", str(tmp_path / "run"), *words]
    (tmp_path / "state").mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if k not in ("GROQ_API_KEY", "GROQ_BASE_URL", "OLLAMA_HOST")}
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def stored(tmp_path: Path) -> list[ExamResult]:
    """The results in the database."""
    store = open_store(tmp_path / "state", StoreConfig(), SystemClock(), lambda _text: None)
    try:
        return store.exams.all()
    finally:
        store.close()


def all_right() -> dict[str, str]:
    """The category of each program by the line that a model is shown of it."""
    answers = {}
    for task in read_paper().tasks:
        line = messages_of([question_of(task.suspect)])[1]["content"]
        answers[line.removeprefix('{"n":1,')] = (task.expected or Category.DEVELOPMENT).value
    return answers


def answer_from(known: dict[str, str], request: dict[str, Any]) -> str:
    """What a model says that knows these lines; "background" of others."""
    lines = request["messages"][-1]["content"].splitlines()
    return an_answer(
        *(an_entry(n, category=known.get(line.partition(",")[2], "background"), reason="seen") for n, line in enumerate(lines, start=1))
    )


def test_model_that_knows_passes_and_the_result_is_kept(tmp_path: Path) -> None:
    """Right answers to all questions: exit 0, and the store says so for this model and this prompt."""
    known = all_right()
    server = FakeOllama(lambda request: answer_from(known, request), models=("wise:1b",))
    with server.running():
        code, said = examined(tmp_path, "--backend", "ollama", environment={"OLLAMA_HOST": server.host})

    (result,) = stored(tmp_path)

    assert (code, said["passed"], said["failures"]) == (0, True, [])
    assert said["measures"]["accuracy"] == 1
    assert said["tokens"]["in"] == 300 * len(server.requests)
    assert said["latency_ms"]["calls"] == len(server.requests)
    assert (result.backend, result.model, result.prompt_version, result.passed) == ("ollama", "wise:1b", PROMPT_VERSION, True)


def test_model_that_calls_everything_background_fails(tmp_path: Path) -> None:
    """A model that would have every server slowed is not believed, and that is what is kept of it."""
    server = FakeOllama(lambda request: answer_from({}, request))
    with server.running():
        code, said = examined(tmp_path, "--backend", "ollama", "--model", "llama3.2:3b", environment={"OLLAMA_HOST": server.host})

    (result,) = stored(tmp_path)

    assert (code, said["passed"], result.passed) == (1, False, False)
    assert said["measures"]["harm"] > 0.9
    assert any(text.startswith("harm ") for text in result.failures)


def test_running_agent_is_told_the_result(tmp_path: Path) -> None:
    """The daemon holds the database: it gets the result on its control socket and acts upon it at once."""
    (tmp_path / "run").mkdir()
    with serving(tmp_path / "run") as agent:
        code, said = examined(tmp_path, "--backend", "none", environment={})

    assert code == 0
    assert said["kept"] == "the running agent keeps it: noted"
    assert [a for a in agent.asked if a.startswith("examined none/rules+local/")]


def test_exam_without_a_model_says_what_was_looked_for(tmp_path: Path) -> None:
    """Nobody to examine is a failure with a reason, and no result."""
    command = [sys.executable, "-m", "brainkernel", "exam", "--backend", "ollama", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, env=os.environ | {"OLLAMA_HOST": "127.0.0.1:1"}, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "no language model to examine: no Ollama answers at 127.0.0.1:1" in done.stderr


def test_real_tiny_model_fails_the_exam(tmp_path: Path) -> None:
    """SmolLM2-135M keeps the form and knows nothing: it is found out, over HTTP through Groq's real client."""
    try:
        model = fetched()
    except NotFetchedError as error:
        missing("the small language model", f"pip must reach a registry ({error})")
    small_batches = tmp_path / "brainkernel.toml"
    small_batches.write_text("[llm]\nbatch_size = 2\n")  # eight at once take minutes on a machine that is busy
    with model.server() as url:
        environment = {"GROQ_BASE_URL": url, "GROQ_API_KEY": "not-needed-here"}
        words = ("--backend", "groq", "--model", "smollm2", "--questions", "9", "--config", str(small_batches))
        code, said = examined(tmp_path, *words, environment=environment)

    assert code == 1
    assert (said["backend"], said["model"], said["asked"]) == ("groq", "smollm2", 9)
    assert said["tokens"]["in"] > 0
    assert len(said["failures"]) > 1, "not only because it was a part of the exam"
    assert stored(tmp_path) == []
