"""Which language models there are on this host, in which order they are asked, and why."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.escape import escaped
from brainkernel.gateway.llm.failure import LlmError
from brainkernel.gateway.llm.groq import Groq
from brainkernel.gateway.llm.llamacpp import LlamaCpp
from brainkernel.gateway.llm.ollama import Ollama, models_at, ollama_client
from brainkernel.gateway.llm.places import is_in_the_cloud, shown_host

if TYPE_CHECKING:
    from brainkernel import config
    from brainkernel.gateway.llm.backend import Backend

PROBE_TIMEOUT_S = 1.0
_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class Choice:
    """The backends in the order in which they are asked, and one sentence that says why."""

    backends: tuple[Backend, ...]
    reason: str


class Chooser:
    """Chooses by configuration and by what answers. Clients are made once, since files may be out of reach later."""

    def __init__(self, settings: config.Llm) -> None:
        """Read GROQ_API_KEY, GROQ_BASE_URL and OLLAMA_HOST from the environment, through the clients."""
        self._settings = settings
        wanted = settings.backend
        self._groq = Groq(settings.groq_model) if wanted in ("auto", "groq") and os.environ.get("GROQ_API_KEY") else None
        self._ollama_client = ollama_client() if wanted in ("auto", "ollama") else None
        self._ollama: Ollama | None = None
        self._llamacpp: LlamaCpp | None = None

    def preload(self) -> None:
        """Load what the clients would load at their first call; a test watches that nothing is left."""
        "localhost".encode("idna")
        if self._ollama_client is not None:
            self._look_for_ollama()

    def choose(self) -> Choice:
        """Look what is there now: at most one request to Ollama, of a second at most."""
        wanted = self._settings.backend
        if wanted == "none":
            return Choice((), 'llm.backend is "none"')
        backends: list[Backend] = []
        words: list[str] = []
        for name, look in (("groq", self._look_for_groq), ("ollama", self._look_for_ollama), ("llamacpp", self._look_for_llamacpp)):
            if wanted in ("auto", name):
                found, why = look()
                words.append(why)
                if found is not None:
                    backends.append(found)
        return Choice(tuple(backends), escaped("; ".join(words))[:_REASON_CHARS])

    def _look_for_groq(self) -> tuple[Groq | None, str]:
        if self._groq is None:
            return None, "GROQ_API_KEY is not set"
        return self._groq, f"groq because GROQ_API_KEY is set (model {self._groq.model})"

    def _look_for_ollama(self) -> tuple[Ollama | None, str]:
        if self._ollama_client is None:
            return None, "ollama is not wanted"
        where = shown_host(os.environ.get("OLLAMA_HOST", ""))
        try:
            models = models_at(self._ollama_client, PROBE_TIMEOUT_S)
        except LlmError as error:
            return None, f"no Ollama answers at {where} ({error.cause})"
        wanted = self._settings.ollama_model
        # What leaves this host does so because somebody said so: by a key for Groq, or by this name.
        model = next((m for m in models if (m in (wanted, f"{wanted}:latest") if wanted else not is_in_the_cloud(m))), None)
        if model is None:
            has = ", ".join(models[:5]) or "none"
            return None, f"the Ollama at {where} has no model {wanted or 'for chat'} (it has: {has})"
        if self._ollama is None or self._ollama.model != model:
            self._ollama = Ollama(model, self._ollama_client)
        return self._ollama, f"ollama because it answers at {where} and has {model}"

    def _look_for_llamacpp(self) -> tuple[LlamaCpp | None, str]:
        if not self._settings.llamacpp_model_file:
            return None, "llm.llamacpp_model_file is not set"
        if self._llamacpp is None:
            try:
                self._llamacpp = LlamaCpp(self._settings.llamacpp_model_file, self._settings.llamacpp_threads)
            except LlmError as error:
                return None, f"no llamacpp: {error}"
        return self._llamacpp, f"llamacpp because llm.llamacpp_model_file names {self._llamacpp.model}"
