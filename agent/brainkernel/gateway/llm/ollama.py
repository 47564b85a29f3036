"""Ollama, through its own client, which reads OLLAMA_HOST itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ollama

from brainkernel.gateway.llm.backend import CONTEXT_TOKENS, Message, RawAnswer, max_output_tokens
from brainkernel.gateway.llm.exchange import exchange, http_options
from brainkernel.gateway.llm.failure import Cause, LlmError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Ollama:
    """One model of one Ollama server."""

    name = "ollama"

    def __init__(self, model: str, client: ollama.Client) -> None:
        """Take a client made by `ollama_client`."""
        self.model = model
        self._client = client

    def judge(self, messages: Sequence[Message], schema: dict[str, Any], *, count: int, timeout_s: float) -> RawAnswer:
        """Ask for JSON of `schema` at temperature 0. Raises LlmError."""
        with exchange(timeout_s):
            response = self._client.chat(
                model=self.model,
                messages=list(messages),
                format=schema,
                think=False,  # a model that thinks aloud would spend the deadline on it
                options={"temperature": 0, "num_predict": max_output_tokens(count), "num_ctx": CONTEXT_TOKENS},
            )
        if response.message.content is None or not response.done:
            msg = "no content, or not done"
            raise LlmError(Cause.WRONG_SCHEMA, msg)
        return RawAnswer(response.message.content, response.prompt_eval_count or 0, response.eval_count or 0)


def ollama_client() -> ollama.Client:
    """A client of the server that OLLAMA_HOST names (127.0.0.1:11434 without it), bounded by `exchange`."""
    return ollama.Client(**http_options())


def models_at(client: ollama.Client, timeout_s: float) -> list[str]:
    """The names of the models this server can chat with, in its order. Raises LlmError if no Ollama answers."""
    with exchange(timeout_s):
        listed = client.list()
    return [m.model for m in listed.models if m.model and not _only_embeds(m)]


# The list does not say what a model can do; those of the BERT families make vectors only.
def _only_embeds(model: ollama.ListResponse.Model) -> bool:
    family = (model.details.family or "") if model.details else ""
    return "bert" in family or "embed" in (model.model or "")
