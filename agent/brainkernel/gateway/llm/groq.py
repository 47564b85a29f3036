"""Groq, or any server of the same API at GROQ_BASE_URL, through Groq's own client."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, cast

import groq
import httpx
from groq.types.chat import ChatCompletion

from brainkernel.gateway.llm.backend import Message, RawAnswer, max_output_tokens
from brainkernel.gateway.llm.exchange import exchange, http_options
from brainkernel.gateway.llm.failure import Cause, LlmError

if TYPE_CHECKING:
    from collections.abc import Sequence

_JSON_OBJECT = {"type": "json_object"}
# Groq says that the model "does not support response format `json_schema`", or names the field it cannot compile.
_SCHEMA_REFUSED = re.compile(r"response.format|json_schema", re.IGNORECASE)


class Groq:
    """One model at Groq. Constructing it reads GROQ_API_KEY and GROQ_BASE_URL, as Groq's client defines them.

    Which models take a JSON schema changes by the month, and the list of models does not say it: so the schema is
    sent until a model refuses it by name, and from then on only "some JSON object" is asked for.
    """

    name = "groq"

    def __init__(self, model: str) -> None:
        """Raise `groq.GroqError` without an API key."""
        self.model = model
        # Retries are ours (caller.py), inside one deadline and one budget; the client would make its own on top.
        self._client = groq.Groq(max_retries=0, http_client=httpx.Client(**http_options()))
        self._completions = self._client.chat.completions  # found now: the package may be unreadable later (privileges.py)
        self._takes_schema = True

    def judge(self, messages: Sequence[Message], schema: dict[str, Any], *, count: int, timeout_s: float) -> RawAnswer:
        """Ask for JSON of `schema` at temperature 0. Raises LlmError."""
        ends = time.monotonic() + timeout_s
        if self._takes_schema:
            try:
                return self._judge(messages, _response_format(schema), count, timeout_s)
            except _SchemaRefusedError:
                self._takes_schema = False
        return self._judge(messages, _JSON_OBJECT, count, ends - time.monotonic())

    def _judge(self, messages: Sequence[Message], response_format: dict[str, Any], count: int, timeout_s: float) -> RawAnswer:
        with exchange(timeout_s) as one:
            try:
                completion = self._completions.create(
                    model=self.model,
                    messages=cast("Any", list(messages)),
                    response_format=cast("Any", response_format),
                    temperature=0,
                    max_completion_tokens=max_output_tokens(count),
                )
            except groq.BadRequestError as error:
                if response_format is not _JSON_OBJECT and one.cut is None and _SCHEMA_REFUSED.search(str(error)):
                    raise _SchemaRefusedError from None
                if "json_validate_failed" in str(error):  # Groq's own check of the model's output
                    raise LlmError(Cause.NOT_JSON, "json_validate_failed") from None
                raise
            return _raw_answer_of(completion)


class _SchemaRefusedError(LlmError):
    def __init__(self) -> None:
        super().__init__(Cause.HTTP_STATUS, "this model takes no JSON schema")


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "verdicts", "schema": schema}}


# Groq's client builds its types without checking them, and returns a text for a body that is not called JSON.
def _raw_answer_of(completion: object) -> RawAnswer:
    if not isinstance(completion, ChatCompletion):
        msg = "the body is not JSON"
        raise LlmError(Cause.NOT_JSON, msg)
    try:
        text: Any = completion.choices[0].message.content
    except (AttributeError, IndexError, TypeError, KeyError):
        text = None
    if not isinstance(text, str):
        msg = "no choice with a content"
        raise LlmError(Cause.WRONG_SCHEMA, msg)
    usage = getattr(completion, "usage", None)
    return RawAnswer(text, _natural(getattr(usage, "prompt_tokens", 0)), _natural(getattr(usage, "completion_tokens", 0)))


def _natural(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0  # no call costs billions
