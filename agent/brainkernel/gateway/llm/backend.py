"""What every language model looks like from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTEXT_TOKENS = 8192  # holds a batch of 8 with every field at its limit, and the answer
_OUTPUT_TOKENS_BASE = 128
_OUTPUT_TOKENS_EACH = 96


class Message(TypedDict):
    """One message of a chat."""

    role: Literal["system", "user"]
    content: str


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What the model wrote, not yet believed, and what it cost."""

    text: str
    tokens_in: int
    tokens_out: int


class Backend(Protocol):
    """One model at one place. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """Which kind: groq, ollama, llamacpp. A label of metrics."""
        ...

    @property
    def model(self) -> str:
        """The model's name at that place."""
        ...

    def judge(self, messages: Sequence[Message], schema: dict[str, Any], *, count: int, timeout_s: float) -> RawAnswer:
        """Let the model answer about `count` programs. Raises LlmError, and nothing else, within `timeout_s`."""
        ...


def max_output_tokens(count: int) -> int:
    """How much a model may write about `count` programs: what rambles on is cut, and then is no JSON."""
    return _OUTPUT_TOKENS_BASE + _OUTPUT_TOKENS_EACH * count
