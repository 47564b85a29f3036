"""Where each channel leads: Apprise URLs from files or systemd credentials, since they hold secrets.

Never from an argument (ps shows those) nor from the environment (children inherit it), and never in a log.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

NAMES = ("slack", "pagerduty", "operations", "webhook")
_OTHERS_READ = stat.S_IROTH | stat.S_IWOTH


def read_urls(directories: Iterable[Path], say: Callable[[str], None]) -> dict[str, tuple[str, ...]]:
    """The URLs of each channel, from the first directory with a file `brainkernel-notify-NAME` or `NAME.url`.

    One URL per line, `#` begins a comment. A file that others may read is refused, and said.
    """
    found: dict[str, tuple[str, ...]] = {}
    for directory in directories:
        for name in NAMES:
            for file in (directory / f"brainkernel-notify-{name}", directory / f"{name}.url"):
                if name not in found and (urls := _urls_in(file, say)):
                    found[name] = urls
    return found


def directories_of(environment: Mapping[str, str], config_file: Path) -> tuple[Path, ...]:
    """Systemd's credentials (systemd.exec(5), LoadCredential=), then `notify.d` beside the configuration file."""
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    return (*([Path(credentials)] if credentials else []), config_file.parent / "notify.d")


def _urls_in(file: Path, say: Callable[[str], None]) -> tuple[str, ...]:
    try:
        with file.open(encoding="utf-8") as stream:
            if os.fstat(stream.fileno()).st_mode & _OTHERS_READ:
                say(f"{file} is not used: others may read it, and it holds a secret; chmod 0600 it")
                return ()
            lines = [line.strip() for line in stream]
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        say(f"{file} is not used: {type(error).__name__}")  # the text of an error may quote what it read
        return ()
    return tuple(_as_apprise(line) for line in lines if line and not line.startswith("#"))


# The address of a plain webhook is what people have at hand; Apprise calls that json(s)://. Addresses of known
# services (hooks.slack.com ...) it recognises by itself.
def _as_apprise(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    known = ("hooks.slack.com", "discord.com", "discordapp.com", "outlook.office.com", "ntfy.sh")
    if scheme.lower() in ("http", "https") and not rest.split("/", 1)[0].endswith(known):
        return ("jsons" if scheme.lower() == "https" else "json") + separator + rest
    return url
