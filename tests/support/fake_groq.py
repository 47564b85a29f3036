"""A strict fake of Groq's chat completions (POST /openai/v1/chat/completions). What is not documented is a violation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.loopback import Exchange, Loopback

if TYPE_CHECKING:
    from collections.abc import Callable

API_KEY = "gsk_test"
_FIELDS = {
    "messages", "model", "frequency_penalty", "logprobs", "max_completion_tokens", "max_tokens", "n", "parallel_tool_calls",
    "presence_penalty", "reasoning_effort", "reasoning_format", "response_format", "seed", "service_tier", "stop", "stream",
    "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user",
}  # fmt: skip


class FakeGroq(Loopback):
    """Answers as one model that takes a JSON schema or not; `content` makes the model's text from the request."""

    def __init__(self, content: Callable[[dict[str, Any]], Any] | str = "", *, takes_schema: bool = True) -> None:
        super().__init__()
        self.content = content
        self.takes_schema = takes_schema

    @property
    def base_url(self) -> str:
        return f"http://{self.host}"

    def answer(self, exchange: Exchange, body: bytes) -> None:
        assert (exchange.command, exchange.path) == ("POST", "/openai/v1/chat/completions"), "not an endpoint that is used here"
        if exchange.headers["Authorization"] != f"Bearer {API_KEY}":
            exchange.reply(401, _error("Invalid API Key", "invalid_api_key"))
            return
        request = json.loads(body)
        self.requests.append(request)
        _check(request)
        form = request.get("response_format", {"type": "text"})
        if form["type"] == "json_schema" and not self.takes_schema:
            exchange.reply(400, _error("This model does not support response format `json_schema`.", "invalid_request_error"))
        elif not self.misbehaves(exchange):
            text = self.content if isinstance(self.content, str) else self.content(request)
            exchange.reply(200, json.dumps(completion(request["model"], text)).encode())


def completion(model: str, text: Any) -> dict[str, Any]:
    """A completion as Groq documents it."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-f51b2cd2",
        "object": "chat.completion",
        "created": 1730241104,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"queue_time": 0.03, "prompt_tokens": 300, "prompt_time": 0.0006, "completion_tokens": 40, "completion_time": 0.4,
                  "total_tokens": 340, "total_time": 0.5},
        "system_fingerprint": "fp_179b0f92c9",
        "x_groq": {"id": "req_01jbd6g2qdfw2adyrt2az8hz4w"},
    }  # fmt: skip


def _error(message: str, code: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code}}).encode()


def _check(request: dict[str, Any]) -> None:
    assert request.keys() <= _FIELDS, f"undocumented fields {request.keys() - _FIELDS}"
    for message in request["messages"]:
        assert message.keys() <= {"role", "content", "name"}, "undocumented field of a message"
    form = request.get("response_format", {"type": "text"})
    assert form["type"] in ("text", "json_object", "json_schema"), "undocumented response format"
    if form["type"] == "json_schema":
        assert form["json_schema"].keys() <= {"name", "description", "schema", "strict"}, "undocumented field of json_schema"
    if form["type"] == "json_object":
        assert any("json" in m["content"].lower() for m in request["messages"]), "JSON mode needs the word in a message"
