"""Where an Ollama and its models are. Pure, and imports no client."""

from __future__ import annotations

from urllib.parse import urlsplit

OLLAMA_HOST = "127.0.0.1:11434"  # where its client looks by itself


def is_in_the_cloud(model: str) -> bool:
    """Whether a model is not where its Ollama is: that lists those of its cloud beside its own, with tags like `120b-cloud`."""
    tag = model.rpartition(":")[2]
    return tag == "cloud" or tag.endswith("-cloud")


def shown_host(host: str) -> str:
    """An OLLAMA_HOST without a user's name and password that may stand in it."""
    host = host or OLLAMA_HOST
    parts = urlsplit(host if "//" in host else f"//{host}")
    return parts.netloc.rpartition("@")[2] or host
