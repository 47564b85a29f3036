"""The word that lets in where a token is asked for, and the cookie a browser gets for it."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.datastructures import Headers

COOKIE = "brainkernel"
CREDENTIAL = "http-token"
CHARS_MIN, CHARS_MAX = 16, 512
_OTHERS_READ = stat.S_IROTH | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Token:
    """The word that lets in. A browser keeps a cookie made of it, good as long as this process lives; never the word itself."""

    text: str = field(repr=False)
    _key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)

    @property
    def cookie(self) -> str:
        """What a browser shows instead of the word."""
        return hmac.new(self._key, self.text.encode(), hashlib.sha256).hexdigest()

    def is_right(self, word: str) -> bool:
        """Whether this is the word; the time it takes does not tell how much of it was right."""
        return hmac.compare_digest(word.encode(), self.text.encode())

    def admits(self, headers: Headers) -> bool:
        """Whether a request carries the word (Authorization: Bearer) or the cookie."""
        scheme, _, word = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_right(word.strip()):
            return True
        return hmac.compare_digest(_cookie_of(headers.get("cookie", "")).encode(), self.cookie.encode())


def read_token(file: str, environment: Mapping[str, str]) -> Token | None:
    """The token in `file`, else in systemd's credential (LoadCredential=, systemd.exec(5)); None where neither is.

    Raises ConfigError for a file that is named and cannot be read, that others may read, or that holds no proper token: the port
    would stand open, or shut, against the operator's word. What the file holds is not quoted.
    """
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(file) if file else Path(folder, CREDENTIAL) if folder else None
    if path is None or (not file and not path.exists()):
        return None
    try:
        with path.open(encoding="ascii") as stream:
            if os.fstat(stream.fileno()).st_mode & _OTHERS_READ:
                msg = f"{path}: others may read it, and it holds a secret; chmod 0600 it"
                raise ConfigError(msg)
            text = stream.read(CHARS_MAX + 2).strip()
    except OSError as error:
        msg = f"{path}: the token for the dashboard cannot be read: {error.strerror}"
        raise ConfigError(msg) from None
    except UnicodeDecodeError:
        text = ""
    if not CHARS_MIN <= len(text) <= CHARS_MAX or not text.isprintable() or " " in text:
        msg = f"{path}: a token is one word of {CHARS_MIN} to {CHARS_MAX} letters, as from `openssl rand -hex 32`"
        raise ConfigError(msg)
    return Token(text)


def _cookie_of(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
