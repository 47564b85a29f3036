"""A real language model: llama.cpp with SmolLM2-135M, over HTTP through Groq's real client, and in process.

It is far too small to be right; that it keeps the form, counts its tokens and ends in time is what is tested.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.gateway.llm.answer import read_answer
from brainkernel.gateway.llm.groq import Groq
from brainkernel.gateway.llm.prompt import messages_of, schema_of
from brainkernel.model import Category
from support.questions import a_question
from support.real_model import NotFetchedError, RealModel, fetched
from support.required import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

EVIDENCE = {"package": "findutils (utils): utilities for finding files, verified", "unit": "plocate-updatedb.service"}


@pytest.fixture(scope="module")
def model() -> RealModel:
    try:
        return fetched()
    except NotFetchedError as error:
        missing("the small language model", f"pip must reach a registry ({error})")


@pytest.fixture
def groq_at_llama(model: RealModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Groq]:
    with model.server() as url:
        monkeypatch.setenv("GROQ_BASE_URL", url)
        monkeypatch.setenv("GROQ_API_KEY", "not-needed-here")
        yield Groq("smollm2")


@pytest.mark.parametrize("count", [1, 2])
def test_real_model_over_http_keeps_the_form(groq_at_llama: Groq, count: int) -> None:
    """Held by the schema, even a tiny model answers with one verdict of our categories per program."""
    questions = [a_question("/usr/bin/updatedb", evidence=EVIDENCE)] * count

    raw = groq_at_llama.judge(messages_of(questions), schema_of(count), count=count, timeout_s=300)

    entries = json.loads(raw.text)["verdicts"]
    assert len(entries) == count
    assert all(entry.keys() == {"n", "reason", "category", "confidence"} for entry in entries)
    assert {entry["category"] for entry in entries} <= {c.value for c in Category}
    assert raw.tokens_out > 0


def test_real_tokenizer_finds_the_prompt_short(groq_at_llama: Groq) -> None:
    """A question with evidence is under 350 tokens in the median, by a real tokenizer (one of the least frugal)."""
    questions = [
        a_question("/usr/bin/updatedb", evidence=EVIDENCE),
        a_question(
            "/usr/bin/gcc", "-O2", "-c", "main.c", "-o", "main.o", parents=("/usr/bin/make", "/usr/bin/bash"), cwd="/home/u/src", uid=1000
        ),
        a_question(
            "/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main", "-c", "config_file=/etc/postgresql.conf", uid=110
        ),
    ]

    tokens = [groq_at_llama.judge(messages_of([q]), schema_of(1), count=1, timeout_s=300).tokens_in for q in questions]

    assert 0 < statistics.median(tokens) < 350


_IN_PROCESS = """
import json, os, sys
from brainkernel.config import Llm
from brainkernel.gateway.llm.choice import Chooser
from brainkernel.gateway.llm.failure import LlmError
from brainkernel.gateway.llm.prompt import messages_of, schema_of
from support.questions import a_question
choice = Chooser(Llm(backend="llamacpp", llamacpp_model_file=sys.argv[1])).choose()
(backend,) = choice.backends
messages = messages_of([a_question()])
raw = backend.judge(messages, schema_of(1), count=1, timeout_s=300)
again = backend.judge(messages, schema_of(1), count=1, timeout_s=300)
try:
    backend.judge(messages, schema_of(1), count=1, timeout_s=0.001)
    late = ""
except LlmError as error:
    late = error.cause.value
after = backend.judge(messages, schema_of(1), count=1, timeout_s=300)
print(json.dumps([choice.reason, backend.model, raw.text, again.text, after.text, raw.tokens_in, raw.tokens_out, late]), flush=True)
os._exit(0)
"""


def test_real_model_in_process_answers_and_stops_in_time(model: RealModel) -> None:
    """`llamacpp` needs no server: a file in the configuration; it says the same each time, and ends when its time is up."""
    environment = os.environ | {"PYTHONPATH": f"{model.packages}{os.pathsep}tests"}

    done = subprocess.run(
        [sys.executable, "-c", _IN_PROCESS, str(model.gguf)], env=environment, capture_output=True, text=True, check=True, timeout=500
    )
    answers: list[Any] = json.loads(done.stdout.splitlines()[-1])
    reason, name, text, again, after, tokens_in, tokens_out, late = answers

    assert f"llamacpp because llm.llamacpp_model_file names {name}" in reason
    assert read_answer(text, 1).verdicts[0] is not None
    assert text == again == after
    assert tokens_in > 100
    assert tokens_out > 10
    assert late == "timeout"
