"""Where what the agent knows would leave this host for, and what that is: for `brainkernel doctor`.

Pure but for reading files; no request is made, and no secret is shown.
"""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from brainkernel.cli.checks import Check, State
from brainkernel.config import DEFAULT_CONFIG_FILE, load
from brainkernel.errors import BrainKernelError
from brainkernel.gateway.llm.places import OLLAMA_HOST, is_in_the_cloud

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from brainkernel.config import Config, Llm

SERVICE_ENVIRONMENT = "etc/default/brainkernel-gateway"
_CREDENTIAL_DIRECTORIES = ("etc/credstore", "etc/credstore.encrypted")
_CHANNELS = ("slack", "pagerduty", "operations", "webhook")
_GROQ = "https://api.groq.com"  # where its client goes by itself
_OLLAMA_CLOUD = "https://ollama.com"
_OURSELVES = ("0.0.0.0", "::")  # noqa: S104 # what a server is told to listen on; who connects to it reaches this host
_QUESTIONS = "redacted command lines, paths, parents, units and packages of unknown programs"


def gateway_environment(environment: Mapping[str, str], root: Path) -> dict[str, str]:
    """The variables that lead the gateway's clients: those of its service, and over them the caller's own."""
    try:
        text = (root / SERVICE_ENVIRONMENT).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    pairs = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals} | dict(environment)


def groq_key(environment: Mapping[str, str], root: Path) -> str:
    """Where a key for Groq comes from, in words; "" if there is none. The key itself is not read."""
    if environment.get("GROQ_API_KEY"):
        return "GROQ_API_KEY is set"
    file = _credential(root, "groq-api-key")
    return f"{file} is there" if file else ""


def destination_checks(config_file: Path | None, environment: Mapping[str, str], root: Path) -> Iterator[Check]:
    """One answer per way out: questions to language models, alerts, traces, and what is served.

    `environment` is `gateway_environment`. None for a configuration that is not valid: that is another check's answer.
    """
    try:
        settings = load(config_file)
    except BrainKernelError:
        return
    yield _questions(settings.llm, environment, root)
    channels = _channels(config_file or DEFAULT_CONFIG_FILE, root)
    yield Check(
        "sent: alerts",
        State.OK,
        f"alerts, with redacted paths of programs, go to {', '.join(channels)}" if channels else "nothing: no channel",
    )
    yield _traces(settings)
    yield _served(settings)


def _questions(llm: Llm, environment: Mapping[str, str], root: Path) -> Check:
    goes: list[tuple[str, str]] = []
    if llm.backend in ("auto", "groq") and groq_key(environment, root):
        goes.append((environment.get("GROQ_BASE_URL") or _GROQ, f"Groq's model {llm.groq_model}"))
    if llm.backend in ("auto", "ollama"):
        host = environment.get("OLLAMA_HOST") or OLLAMA_HOST
        cloud = is_in_the_cloud(llm.ollama_model)
        goes.append(
            (
                _OLLAMA_CLOUD if cloud else host if "//" in host else f"http://{host}",
                f"Ollama's model {llm.ollama_model}" if cloud else "an Ollama",
            )
        )
    away = [(url, whose) for url, whose in goes if not _is_here(url) and urlsplit(url).hostname not in _OURSELVES]
    if not away:
        return Check(
            "sent: LLM", State.OK, "nothing: no key for Groq, and no Ollama elsewhere" if llm.backend != "none" else "nothing: none wanted"
        )
    where = " and ".join(f"{urlsplit(url).hostname} ({whose})" for url, whose in away)
    text = f"{_QUESTIONS} go to {where}"
    bare = [url for url, _ in away if urlsplit(url).scheme != "https"]
    if bare:
        return Check("sent: LLM", State.WARN, f"{text}, in the clear", "put TLS before it: https:// in GROQ_BASE_URL or OLLAMA_HOST")
    return Check("sent: LLM", State.OK, f"{text}; `brainkernel prompt` shows them")


def _channels(config_file: Path, root: Path) -> list[str]:
    beside = config_file.parent / "notify.d"
    return [n for n in _CHANNELS if os.path.exists(beside / f"{n}.url") or _credential(root, f"notify-{n}")]  # noqa: PTH110 # False for "not permitted", too


def _traces(settings: Config) -> Check:
    url = settings.tracing.endpoint
    if not url or _is_here(url):
        return Check("sent: traces", State.OK, f"nothing: {f'the collector is on this host ({url})' if url else 'no tracing.endpoint'}")
    return Check("sent: traces", State.OK, f"decisions, with redacted paths, go to {urlsplit(url).hostname}")


def _served(settings: Config) -> Check:
    if not settings.http.listen:
        return Check("served", State.OK, f"at {settings.http.socket}" if settings.http.socket else "nothing")
    if _is_here(f"http://{settings.http.listen}"):
        return Check("served", State.OK, f"figures and dashboard at {settings.http.listen}, to this host alone")
    text = f"figures at {settings.http.listen}, to whoever reaches it; the dashboard to who has the token"
    return Check("served", State.WARN, text, "the port speaks plain HTTP: put a proxy with TLS before it, or listen on 127.0.0.1")


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _credential(root: Path, name: str) -> str:
    files = (root / directory / f"brainkernel.{name}" for directory in _CREDENTIAL_DIRECTORIES)
    return next((str(file) for file in files if os.path.exists(file)), "")  # noqa: PTH110 # False for "not permitted", too
