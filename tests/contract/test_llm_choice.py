"""Which language model is used and why, in one sentence, by configuration, environment and what answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.config import Llm
from brainkernel.gateway.llm.choice import Chooser
from support.fake_groq import API_KEY
from support.fake_ollama import FakeOllama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "GROQ_BASE_URL", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOllama]:
    made = FakeOllama(models=("qwen2.5:3b", "llama3.2:latest"))
    monkeypatch.setenv("OLLAMA_HOST", made.host)
    with made.running():
        yield made


def chosen(**settings: Any) -> tuple[list[str], str]:
    choice = Chooser(Llm(**settings)).choose()
    return [f"{b.name}/{b.model}" for b in choice.backends], choice.reason


def test_choice_of_nothing_says_what_was_looked_for() -> None:
    """Without a model the sentence is the list of remedies."""
    assert chosen() == (
        [],
        "GROQ_API_KEY is not set; no Ollama answers at 127.0.0.1:1 (connection); llm.llamacpp_model_file is not set",
    )


def test_choice_takes_the_first_model_of_an_ollama(server: FakeOllama) -> None:
    """No key and no name are needed: what is there is used."""
    backends, reason = chosen()

    assert backends == ["ollama/qwen2.5:3b"]
    assert f"ollama because it answers at {server.host} and has qwen2.5:3b" in reason


@pytest.mark.parametrize("name", ["llama3.2", "llama3.2:latest"])
def test_choice_finds_the_named_model(server: FakeOllama, name: str) -> None:
    """With or without Ollama's default tag."""
    assert chosen(ollama_model=name)[0] == ["ollama/llama3.2:latest"]


def test_choice_says_which_models_there_are_instead(server: FakeOllama) -> None:
    """A name that Ollama does not have is an easy mistake to mend."""
    backends, reason = chosen(ollama_model="mistral")

    assert backends == []
    assert "has no model mistral (it has: qwen2.5:3b, llama3.2:latest)" in reason


def test_choice_puts_groq_first_and_keeps_ollama_behind_it(server: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key says that the cloud is wanted; what is local catches its failures."""
    monkeypatch.setenv("GROQ_API_KEY", API_KEY)

    assert chosen(groq_model="g")[0] == ["groq/g", "ollama/qwen2.5:3b"]


def test_choice_of_one_backend_looks_at_no_other(server: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is named is the only one: nothing goes elsewhere."""
    monkeypatch.setenv("GROQ_API_KEY", API_KEY)

    assert chosen(backend="ollama")[0] == ["ollama/qwen2.5:3b"]
    assert chosen(backend="none") == ([], 'llm.backend is "none"')
    assert chosen(backend="groq", groq_model="g")[0] == ["groq/g"]


def test_choice_never_takes_groq_without_a_key() -> None:
    """The cloud is off until a key is there, even when it is asked for by name."""
    assert chosen(backend="groq") == ([], "GROQ_API_KEY is not set")


def test_choice_takes_no_model_of_ollamas_cloud_by_itself() -> None:
    """Ollama lists its cloud's models beside its own and forwards what they are asked: that leaves the host only where one is named."""
    fake = FakeOllama(models=("gpt-oss:120b-cloud", "glm-4.6:cloud", "llama3.2:3b"))
    with fake.running(), pytest.MonkeyPatch.context() as environment:
        environment.setenv("OLLAMA_HOST", fake.host)

        assert chosen()[0] == ["ollama/llama3.2:3b"]
        assert chosen(ollama_model="gpt-oss:120b-cloud")[0] == ["ollama/gpt-oss:120b-cloud"]


def test_choice_names_what_llamacpp_lacks(tmp_path: Path) -> None:
    """A file that is missing or is no model, or the package that is missing, each by name."""
    (tmp_path / "notes.gguf").write_text("hello")

    for file in ("notes.gguf", "gone.gguf"):
        backends, reason = chosen(backend="llamacpp", llamacpp_model_file=str(tmp_path / file))
        assert backends == []
        assert file in reason or "xllamacpp is not installed" in reason


def test_choice_keeps_a_password_of_the_host_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is shown in status and logs."""
    monkeypatch.setenv("OLLAMA_HOST", "http://me:hunter2@127.0.0.1:1")

    assert "hunter2" not in chosen()[1]


def test_choice_keeps_its_backend_when_nothing_changed(server: FakeOllama) -> None:
    """Looking again makes no second client: what was learned of the first stays with it."""
    chooser = Chooser(Llm())

    assert chooser.choose() == chooser.choose()
