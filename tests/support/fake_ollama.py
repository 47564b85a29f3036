"""A strict fake of Ollama's documented API: /api/tags and /api/chat. What is not documented is a violation.

Written from docs/api.md of ollama/ollama: the endpoints, fields, types and defaults named there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.loopback import Exchange, Loopback

if TYPE_CHECKING:
    from collections.abc import Callable

_CHAT_FIELDS = {"model", "messages", "tools", "think", "format", "options", "stream", "keep_alive"}
_MESSAGE_FIELDS = {"role", "content", "thinking", "images", "tool_calls", "tool_name"}
_OPTIONS = {
    "num_keep", "seed", "num_predict", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "temperature", "repeat_penalty",
    "presence_penalty", "frequency_penalty", "penalize_newline", "stop", "numa", "num_ctx", "num_batch", "num_gpu", "main_gpu",
    "use_mmap", "num_thread",
}  # fmt: skip
TIME = "2026-11-23T01:00:00.000000Z"


class FakeOllama(Loopback):
    """Has some models; `content` makes the model's text from the request."""

    def __init__(self, content: Callable[[dict[str, Any]], str] | str = "", models: tuple[str, ...] = ("llama3.2:3b",)) -> None:
        super().__init__()
        self.content = content
        self.models = models

    def answer(self, exchange: Exchange, body: bytes) -> None:
        match exchange.command, exchange.path:
            case "GET", "/api/tags":
                assert body == b""
                exchange.reply(200, json.dumps({"models": [_listed(m) for m in self.models]}).encode())
            case "POST", "/api/chat":
                request = json.loads(body)
                _check_chat(request)
                self.requests.append(request)
                if not self.misbehaves(exchange):
                    self._chat(exchange, request)
            case _:
                msg = "not an endpoint that is used here"
                raise AssertionError(msg)

    def _chat(self, exchange: Exchange, request: dict[str, Any]) -> None:
        if request["model"] not in self.models:
            exchange.reply(404, json.dumps({"error": f"model '{request['model']}' not found"}).encode())
            return
        text = self.content if isinstance(self.content, str) else self.content(request)
        if not request.get("stream", True):
            exchange.reply(200, json.dumps(_chunk(request, text, done=True)).encode(), "application/json; charset=utf-8")
            return
        chunks = [_chunk(request, piece, done=False) for piece in text] + [_chunk(request, "", done=True)]
        exchange.reply(200, b"".join(json.dumps(c).encode() + b"\n" for c in chunks), "application/x-ndjson")


def _listed(model: str) -> dict[str, Any]:
    family = "nomic-bert" if "embed" in model else "llama"
    details = {"format": "gguf", "family": family, "families": [family], "parameter_size": "3B", "quantization_level": "Q4_K_M"}
    return {"name": model, "model": model, "modified_at": TIME, "size": 2019393189, "digest": "a" * 64, "details": details}


def _chunk(request: dict[str, Any], text: str, *, done: bool) -> dict[str, Any]:
    chunk: dict[str, Any] = {
        "model": request["model"],
        "created_at": TIME,
        "message": {"role": "assistant", "content": text},
        "done": done,
    }
    if done:
        chunk |= {"done_reason": "stop", "total_duration": 10**9, "load_duration": 10**6, "prompt_eval_count": 300}
        chunk |= {"prompt_eval_duration": 10**8, "eval_count": 40, "eval_duration": 10**8}
    return chunk


def _check_chat(request: dict[str, Any]) -> None:
    assert request.keys() <= _CHAT_FIELDS, f"undocumented fields {request.keys() - _CHAT_FIELDS}"
    assert isinstance(request["model"], str), "model is a name"
    for message in request["messages"]:
        assert message.keys() <= _MESSAGE_FIELDS, f"undocumented fields {message.keys() - _MESSAGE_FIELDS}"
        assert message["role"] in ("system", "user", "assistant", "tool"), "undocumented role"
        assert isinstance(message["content"], str), "content is a text"
    assert request.get("options", {}).keys() <= _OPTIONS, f"undocumented options {request['options'].keys() - _OPTIONS}"
    form = request.get("format", "json")
    assert form == "json" or isinstance(form, dict), "format is json or a JSON schema"
