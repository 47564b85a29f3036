"""Keys that systemd hands to this process alone (LoadCredential=, systemd.exec(5)), for the clients that read variables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

VARIABLE_OF = {"groq-api-key": "GROQ_API_KEY"}
_MAX_CHARS = 4096


def take(environment: MutableMapping[str, str]) -> None:
    """Set the variable of each credential that is there and whose variable is not.

    Raises ConfigError for one that is not one line of printable text; its content is not quoted.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return
    for name, variable in VARIABLE_OF.items():
        if environment.get(variable):
            continue
        text = _read(Path(folder, name))
        if text:
            environment[variable] = text


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        text = "\0"
    if not text.isprintable() or len(text) > _MAX_CHARS:
        msg = f"the credential {file.name} is not one line of text; see /etc/credstore/brainkernel.{file.name}"
        raise ConfigError(msg)
    return text
