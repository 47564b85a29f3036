"""What `brainkernel doctor` says of what would leave the host, and for where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.cli.checks import State, setting_checks
from brainkernel.cli.destinations import SERVICE_ENVIRONMENT, destination_checks, gateway_environment, groq_key

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.cli.checks import Check


def checks(root: Path, toml: str = "", **environment: str) -> dict[str, Check]:
    """The answers of a host whose files lie below `root`."""
    config = root / "etc/brainkernel/brainkernel.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(toml)
    variables = gateway_environment(environment, root)
    found = [*setting_checks(config, variables, groq_key(variables, root)), *destination_checks(config, variables, root)]
    return {check.name: check for check in found}


def written(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_nothing_leaves_a_host_that_nobody_configured(tmp_path: Path) -> None:
    """Without a key the cloud is off, and no channel, collector or open port is there by itself."""
    found = checks(tmp_path)

    assert found["sent: LLM"].text == "nothing: no key for Groq, and no Ollama elsewhere"
    assert found["sent: alerts"].text.startswith("nothing")
    assert found["sent: traces"].text.startswith("nothing")
    assert found["served"].text == "figures and dashboard at 127.0.0.1:9750, to this host alone"
    assert {check.state for name, check in found.items() if name.startswith(("sent", "served"))} == {State.OK}


@pytest.mark.parametrize(
    ("toml", "environment", "where"),
    [
        ("", {"GROQ_API_KEY": "gsk_geheim"}, "api.groq.com (Groq's model llama-3.1-8b-instant)"),
        ("", {"GROQ_API_KEY": "gsk_geheim", "GROQ_BASE_URL": "https://llm.corp.example/v1"}, "llm.corp.example"),
        ("", {"OLLAMA_HOST": "https://anna:geheim@gpu.corp.example"}, "gpu.corp.example (an Ollama)"),
        ("[llm]\nollama_model = 'glm-4.6:cloud'", {}, "ollama.com (Ollama's model glm-4.6:cloud)"),
    ],
    ids=["groq", "groq elsewhere", "ollama elsewhere", "ollama's cloud"],
)
def test_doctor_names_what_is_sent_and_for_where(tmp_path: Path, toml: str, environment: dict[str, str], where: str) -> None:
    """A person sees the host, what goes there, and how to look at it; never a key or a password."""
    found = checks(tmp_path, toml, **environment)

    assert found["sent: LLM"].text.startswith("redacted command lines")
    assert where in found["sent: LLM"].text
    assert "brainkernel prompt" in found["sent: LLM"].text
    assert "geheim" not in str(found)


@pytest.mark.parametrize("host", ["127.0.0.1:11434", "http://[::1]:11434", "0.0.0.0", "localhost"])  # noqa: S104
def test_ollama_of_this_host_is_nobody_else(tmp_path: Path, host: str) -> None:
    """What a server is told to listen on is as good as the loopback address."""
    assert checks(tmp_path, OLLAMA_HOST=host)["sent: LLM"].text.startswith("nothing")


def test_what_goes_in_the_clear_is_a_warning(tmp_path: Path) -> None:
    """Command lines, redacted or not, are nobody's business on the way."""
    check = checks(tmp_path, OLLAMA_HOST="10.0.0.7:11434")["sent: LLM"]

    assert check.state is State.WARN
    assert "10.0.0.7 (an Ollama), in the clear" in check.text


def test_configuration_of_the_service_counts(tmp_path: Path) -> None:
    """The key lies where root alone reads it and the address in the service's environment: a shell of root has neither."""
    written(tmp_path, "etc/credstore/brainkernel.groq-api-key", "gsk_geheim")
    written(tmp_path, SERVICE_ENVIRONMENT, '# keys do not belong here\nGROQ_BASE_URL="https://llm.corp.example"\n')

    found = checks(tmp_path)

    assert "credstore/brainkernel.groq-api-key is there" in found["LLM"].text
    assert "llm.corp.example" in found["sent: LLM"].text
    assert "geheim" not in str(found)


def test_forced_backend_leaves_the_others_unasked(tmp_path: Path) -> None:
    """A key that nobody uses sends nothing."""
    key = {"GROQ_API_KEY": "gsk_geheim"}

    assert checks(tmp_path, "[llm]\nbackend = 'none'", **key)["sent: LLM"].text == "nothing: none wanted"
    assert checks(tmp_path, "[llm]\nbackend = 'ollama'", **key)["sent: LLM"].text.startswith("nothing")


def test_channels_collector_and_open_port_are_named(tmp_path: Path) -> None:
    """Each other way out of the host, and what takes it."""
    written(tmp_path, "etc/brainkernel/notify.d/slack.url", "slack://geheim")
    written(tmp_path, "etc/credstore.encrypted/brainkernel.notify-pagerduty", "geheim")
    toml = "[tracing]\nendpoint = 'https://otel.corp.example/v1/traces'\n[http]\nlisten = '0.0.0.0:9750'\n"

    found = checks(tmp_path, toml)

    assert found["sent: alerts"].text.endswith("go to slack, pagerduty")
    assert found["sent: traces"].text.endswith("go to otel.corp.example")
    assert found["served"].state is State.WARN
    assert "geheim" not in str(found)


def test_bad_configuration_is_one_answer(tmp_path: Path) -> None:
    """What it would lead to is not guessed."""
    assert [c.state for c in checks(tmp_path, "[llm]\nbackend = 3\n").values()] == [State.FAIL]
