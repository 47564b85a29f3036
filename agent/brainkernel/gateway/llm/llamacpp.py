"""llama.cpp in this process, through the optional package xllamacpp and a .gguf file."""

from __future__ import annotations

import importlib.util
import secrets
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainkernel.gateway.llm.backend import CONTEXT_TOKENS, Message, RawAnswer, max_output_tokens
from brainkernel.gateway.llm.failure import Cause, LlmError

if TYPE_CHECKING:
    from collections.abc import Sequence


class LlamaCpp:
    """One model file. Loading it takes seconds and its size in memory, so that happens at the first question."""

    name = "llamacpp"

    def __init__(self, model_file: str, threads: int = 1) -> None:
        """Raise LlmError if the package is not installed or the file cannot be read."""
        self.model = Path(model_file).name
        self._model_file = model_file
        self._threads = threads
        self._lock = threading.Lock()
        self._server: Any = None
        if importlib.util.find_spec("xllamacpp") is None:
            msg = 'the package xllamacpp is not installed (pip install "brainkernel-agent[llamacpp]")'
            raise LlmError(Cause.NO_BACKEND, msg)
        try:
            with Path(model_file).open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            msg = f"llm.llamacpp_model_file cannot be read by the gateway's user: {error}"
            raise LlmError(Cause.NO_BACKEND, msg) from None
        if magic != b"GGUF":
            msg = f"llm.llamacpp_model_file {model_file} is not a GGUF file"
            raise LlmError(Cause.NO_BACKEND, msg)

    def judge(self, messages: Sequence[Message], schema: dict[str, Any], *, count: int, timeout_s: float) -> RawAnswer:
        """Generate JSON of `schema` at temperature 0. Raises LlmError; stops between two tokens when time is up."""
        generation = _Generation(time.monotonic() + timeout_s)
        request = {
            "messages": list(messages),
            "response_format": {"type": "json_schema", "json_schema": {"name": "verdicts", "schema": schema}},
            "temperature": 0,
            "max_tokens": max_output_tokens(count),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        # One at a time: two would only make each other late on the same cores.
        if not self._lock.acquire(timeout=timeout_s):
            raise LlmError(Cause.TIMEOUT, "another question is being answered")
        try:
            self._loaded().handle_chat_completions(request, generation.take)
        except LlmError:
            raise
        except Exception as error:  # noqa: BLE001 # RuntimeError and others come through the C++ binding
            raise LlmError(Cause.WRONG_SCHEMA, str(error)[:200]) from None
        finally:
            self._lock.release()
        return generation.answer()

    def _loaded(self) -> Any:
        if self._server is None:
            import xllamacpp  # noqa: PLC0415 # 100 MB of native code, only where it is used

            params = xllamacpp.CommonParams()
            params.model.path = self._model_file
            params.n_ctx = CONTEXT_TOKENS
            params.n_parallel = 1
            params.verbosity = 0
            # Threads of llama.cpp wait for each other without sleeping: two took ten times the CPU of one beside a load of 9 on 2 CPUs.
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
            # The binding always listens on a loopback port too; nobody shall use it.
            params.api_keys = [secrets.token_hex(32)]
            try:
                self._server = xllamacpp.Server(params)
            except Exception as error:  # noqa: BLE001 # whatever the C++ loader throws
                raise LlmError(Cause.NO_BACKEND, f"cannot load {self._model_file}: {error}"[:300], permanent=True) from None
        return self._server


class _Generation:
    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._text: list[str] = []
        self._error = ""
        self._usage: dict[str, Any] = {}
        self._cut = False

    # Called by xllamacpp for each chunk; True stops the generation.
    def take(self, chunk: dict[str, Any]) -> bool:
        if "error" in chunk:
            self._error = str(chunk["error"])[:200]
            return True
        for choice in chunk.get("choices") or ():
            self._text.append(choice.get("delta", {}).get("content") or "")
        self._usage = chunk.get("usage") or self._usage
        self._cut = time.monotonic() >= self._ends
        return self._cut

    def answer(self) -> RawAnswer:
        if self._cut:
            raise LlmError(Cause.TIMEOUT)
        if self._error:
            raise LlmError(Cause.WRONG_SCHEMA, self._error)
        return RawAnswer("".join(self._text), self._usage.get("prompt_tokens", 0), self._usage.get("completion_tokens", 0))
