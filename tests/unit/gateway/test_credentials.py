"""Keys reach the clients of models from systemd's credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.errors import ConfigError
from brainkernel.gateway import credentials

if TYPE_CHECKING:
    from pathlib import Path

A_KEY = "gsk_not-a-real-one"


def test_credential_becomes_the_variable_that_the_client_reads(tmp_path: Path) -> None:
    """The line feed that an editor leaves at the end is no part of the key."""
    (tmp_path / "groq-api-key").write_text(f"{A_KEY}\n")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    credentials.take(environment)

    assert environment["GROQ_API_KEY"] == A_KEY


def test_variable_that_is_set_is_kept(tmp_path: Path) -> None:
    """What a person set for this run goes before what the host keeps."""
    (tmp_path / "groq-api-key").write_text("another")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "GROQ_API_KEY": A_KEY}

    credentials.take(environment)

    assert environment["GROQ_API_KEY"] == A_KEY


@pytest.mark.parametrize("environment", [{}, {"CREDENTIALS_DIRECTORY": "/nonexistent"}])
def test_no_credential_is_no_error(environment: dict[str, str]) -> None:
    """No language model is needed."""
    before = dict(environment)

    credentials.take(environment)

    assert environment == before


@pytest.mark.parametrize("content", [b"two\nlines", b"\xff\xfe", b"x" * 5000])
def test_credential_that_is_no_key_is_refused_without_quoting_it(tmp_path: Path, content: bytes) -> None:
    """It might be another secret, put there by mistake."""
    (tmp_path / "groq-api-key").write_bytes(content)

    with pytest.raises(ConfigError, match="not one line of text") as refused:
        credentials.take({"CREDENTIALS_DIRECTORY": str(tmp_path)})

    assert "lines" not in str(refused.value)
