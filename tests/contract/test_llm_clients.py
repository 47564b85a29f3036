"""The real clients of Ollama and Groq, over loopback HTTP, against strict fakes of the documented APIs."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

import ollama
import pytest
from brainkernel.gateway.llm.answer import read_answer
from brainkernel.gateway.llm.failure import Cause, LlmError
from brainkernel.gateway.llm.groq import Groq
from brainkernel.gateway.llm.ollama import Ollama, models_at, ollama_client
from brainkernel.gateway.llm.prompt import messages_of, schema_of
from support import loopback
from support.fake_groq import API_KEY, FakeGroq
from support.fake_ollama import FakeOllama
from support.questions import a_question, an_answer, an_entry, answer_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from brainkernel.gateway.llm.backend import Backend, RawAnswer


@dataclasses.dataclass
class Wired:
    """A real client and the fake it talks to."""

    backend: Backend
    server: FakeOllama | FakeGroq

    def judge(self, count: int = 1, timeout_s: float = 10.0) -> RawAnswer:
        return self.backend.judge(messages_of([a_question()] * count), schema_of(count), count=count, timeout_s=timeout_s)


@pytest.fixture
def fake_ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOllama]:
    server = FakeOllama(answer_for)
    monkeypatch.setenv("OLLAMA_HOST", server.host)
    with server.running():
        yield server


@pytest.fixture
def fake_groq(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGroq]:
    server = FakeGroq(answer_for)
    monkeypatch.setenv("GROQ_API_KEY", API_KEY)
    monkeypatch.setenv("GROQ_BASE_URL", server.base_url)
    with server.running():
        yield server


@pytest.fixture(params=["ollama", "groq"])
def wired(request: pytest.FixtureRequest) -> Wired:
    server = request.getfixturevalue(f"fake_{request.param}")  # first: the clients read the environment it sets
    if request.param == "ollama":
        return Wired(Ollama("llama3.2:3b", ollama_client()), server)
    return Wired(Groq("llama-3.1-8b-instant"), server)


@pytest.mark.parametrize("count", [1, 8])
def test_client_brings_text_and_tokens(wired: Wired, count: int) -> None:
    """One program or a batch of eight: what the model wrote, and what it cost."""
    raw = wired.judge(count)

    assert (raw.tokens_in, raw.tokens_out) == (300, 40)
    assert None not in read_answer(raw.text, count).verdicts


def test_client_asks_for_the_schema_at_temperature_zero(fake_ollama: FakeOllama, fake_groq: FakeGroq) -> None:
    """The same question gets the same answer, in the form we read, from either API."""
    Wired(Ollama("llama3.2:3b", ollama_client()), fake_ollama).judge()
    Wired(Groq("x"), fake_groq).judge()

    assert fake_ollama.requests[0]["format"] == schema_of(1)
    assert fake_ollama.requests[0]["options"]["temperature"] == 0
    assert fake_ollama.requests[0]["stream"] is False
    assert fake_groq.requests[0]["response_format"]["json_schema"]["schema"] == schema_of(1)
    assert fake_groq.requests[0]["temperature"] == 0


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (loopback.html, Cause.NOT_JSON),
        (loopback.html_called_json, Cause.NOT_JSON),
        (loopback.truncated_json, Cause.NOT_JSON),
        (loopback.huge, Cause.TOO_LARGE),
        (loopback.huge_unannounced, Cause.TOO_LARGE),
        (loopback.gzip_bomb, Cause.WRONG_SCHEMA),
        (loopback.dead, Cause.CONNECTION),
        (loopback.cut_off, Cause.CONNECTION),
        (loopback.status(500), Cause.HTTP_STATUS),
        (loopback.status(401), Cause.HTTP_STATUS),
        (loopback.status(302, Location="http://127.0.0.1:1/"), Cause.HTTP_STATUS),
        (loopback.status(429), Cause.RATE_LIMITED),
    ],
    ids=lambda value: getattr(value, "__qualname__", str(value)),
)
def test_client_names_what_went_wrong(wired: Wired, fault: Callable[[Any], None], cause: Cause) -> None:
    """Each fault has one name, whichever client met it, is met once (no hidden retry), and is followed nowhere."""
    wired.server.fault = fault

    with pytest.raises(LlmError) as caught:
        wired.judge()

    assert caught.value.cause is cause
    assert len(wired.server.requests) == 1


@pytest.mark.parametrize("fault", [loopback.silent, loopback.drip_headers, loopback.drip_body], ids=lambda f: f.__name__)
def test_client_ends_when_its_time_is_up(wired: Wired, fault: Callable[[Any], None]) -> None:
    """Silence, and bytes that trickle so that no single read times out: the exchange ends as a whole.

    Each of these faults would go on for 20 s; that a timeout is reported while the test's own limit stands shows the end.
    """
    wired.server.fault = fault

    with pytest.raises(LlmError) as caught:
        wired.judge(timeout_s=0.3)

    assert caught.value.cause is Cause.TIMEOUT


def test_client_passes_retry_after_on(wired: Wired) -> None:
    """How long the server wants to be left alone reaches the caller."""
    wired.server.fault = loopback.status(429, Retry_After="7.5")

    with pytest.raises(LlmError) as caught:
        wired.judge()

    assert caught.value.retry_after_s == 7.5


def test_client_marks_what_cannot_get_better(wired: Wired) -> None:
    """A wrong key is not retried, a server's own fault may be."""
    permanent = {}
    for code in (401, 500):
        wired.server.fault = loopback.status(code)
        with pytest.raises(LlmError) as caught:
            wired.judge()
        permanent[code] = caught.value.permanent

    assert permanent == {401: True, 500: False}


def test_client_reports_that_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port without a server is a connection failure."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setenv("GROQ_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GROQ_API_KEY", API_KEY)

    for backend in (Ollama("x", ollama_client()), Groq("x")):
        with pytest.raises(LlmError) as caught:
            backend.judge(messages_of([a_question()]), schema_of(1), count=1, timeout_s=5)
        assert caught.value.cause is Cause.CONNECTION


@pytest.mark.parametrize(
    "text",
    [an_answer(an_entry(category="benign")), an_answer(an_entry(confidence=1e15)), "Sure! It is a game.", ""],
    ids=["wrong category", "confidence 1e15", "prose", "empty"],
)
def test_client_hands_nonsense_to_the_reader(wired: Wired, text: str) -> None:
    """A model's nonsense is no fault of the exchange: it arrives as it is, and the reader makes nothing of it."""
    wired.server.content = text

    assert read_answer(wired.judge().text, 1).empty


def test_ollama_lists_models_that_can_chat(fake_ollama: FakeOllama) -> None:
    """A model that only embeds is not one to ask."""
    fake_ollama.models = ("nomic-embed-text:latest", "llama3.2:3b", "qwen2.5:0.5b")

    assert models_at(ollama_client(), 5.0) == ["llama3.2:3b", "qwen2.5:0.5b"]


def test_ollama_without_the_model_is_a_status(fake_ollama: FakeOllama) -> None:
    """A model that was removed meanwhile is a permanent failure of that model."""
    with pytest.raises(LlmError) as caught:
        Wired(Ollama("gone:1b", ollama_client()), fake_ollama).judge()

    assert (caught.value.cause, caught.value.permanent) == (Cause.HTTP_STATUS, True)


def test_ollama_fake_streams_as_documented(fake_ollama: FakeOllama) -> None:
    """The fake keeps to Ollama's stream of JSON lines too, as the real client reads it."""
    fake_ollama.content = "one"
    with ollama.Client(host=fake_ollama.host) as client:
        chunks = list(client.chat(model="llama3.2:3b", messages=[{"role": "user", "content": "?"}], stream=True))

    assert [c.message.content for c in chunks] == ["o", "n", "e", ""]
    assert chunks[-1].done


def test_ollama_fake_refuses_what_is_not_documented() -> None:
    """A request that the documentation does not have fails the test that made it."""

    def use_a_role_that_does_not_exist() -> None:
        server = FakeOllama()
        with server.running(), ollama.Client(host=server.host) as client, contextlib.suppress(ollama.ResponseError):
            client.chat(model="x", messages=[{"role": "judge", "content": "?"}])

    with pytest.raises(AssertionError, match="undocumented"):
        use_a_role_that_does_not_exist()


def test_groq_learns_that_a_model_takes_no_schema(fake_groq: FakeGroq) -> None:
    """The first refusal costs one more request; from then on the model is asked for some JSON object."""
    fake_groq.takes_schema = False
    wired = Wired(Groq("llama-3.1-8b-instant"), fake_groq)

    answers = [wired.judge().text, wired.judge().text]

    assert all(read_answer(text, 1).cause is None for text in answers)
    assert [r["response_format"]["type"] for r in fake_groq.requests] == ["json_schema", "json_object", "json_object"]


def test_groq_with_a_wrong_key_is_a_permanent_status(fake_groq: FakeGroq, monkeypatch: pytest.MonkeyPatch) -> None:
    """401: no retry can help."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_wrong")

    with pytest.raises(LlmError) as caught:
        Wired(Groq("x"), fake_groq).judge()

    assert (caught.value.cause, caught.value.permanent) == (Cause.HTTP_STATUS, True)


@pytest.mark.parametrize(
    "body", ['{"choices": []}', "{}", '{"choices": [{"message": {"content": null}}]}', '{"choices": 7}', "[1]", "null"]
)
def test_groq_body_of_another_shape_is_no_answer(fake_groq: FakeGroq, body: str) -> None:
    """Groq's client does not check what it reads; we do."""
    fake_groq.fault = lambda exchange: exchange.reply(200, body.encode())

    with pytest.raises(LlmError) as caught:
        Wired(Groq("x"), fake_groq).judge()

    assert caught.value.cause in {Cause.WRONG_SCHEMA, Cause.NOT_JSON}
