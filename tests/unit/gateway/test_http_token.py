"""The token: who has it reads, who has not learns nothing, and no secret is told or taken from an open file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.errors import ConfigError
from brainkernel.gateway.web.token import COOKIE, Token, read_token
from support.web_server import get, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.gateway.web.server import HttpServer

WORD = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with serving(token=Token(WORD)) as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/live", "/static/nothing.js"])
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", f"Basic {WORD}", f"Bearer {WORD}x", "Bearer \xe4"])
def test_token_keeps_out_who_has_none(server: HttpServer, path: str, authorization: str) -> None:
    """Everything but the sign of life asks for it."""
    answer = get(server, path, "HEAD", Authorization=authorization)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert get(server, "/healthz").status == 200


def test_token_lets_in_who_has_it(server: HttpServer) -> None:
    """As Prometheus sends it (authorization: credentials_file)."""
    assert get(server, "/metrics", Authorization=f"Bearer {WORD}").body == b"brainkernel_up 1\n"


def test_token_becomes_a_cookie_in_a_browser(server: HttpServer) -> None:
    """A browser is sent to the login; the cookie it gets there lets in, is no use to scripts or other sites, and is not the token."""
    page = get(server, "/", Accept="text/html,*/*")
    login = get(server, "/login", "POST", body=f"token={WORD}")
    cookie = login.headers["Set-Cookie"]
    value = cookie.split(";")[0]

    assert (page.status, page.headers["Location"]) == (303, "/login")
    assert (login.status, login.headers["Location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert WORD not in cookie
    assert get(server, "/", Cookie=value).status == 200
    assert get(server, "/", "HEAD", Cookie=f"{COOKIE}={WORD}").status == 401


@pytest.mark.parametrize("body", ["", "token=", "token=wrong", f"word={WORD}", "token=%ff", "\0"])
def test_login_with_a_wrong_word_gives_nothing(server: HttpServer, body: str) -> None:
    """Back to the question, without a cookie."""
    login = get(server, "/login", "POST", body=body)

    assert (login.status, login.headers["Location"], login.headers["Set-Cookie"]) == (303, "/login?wrong", None)


def test_login_takes_no_flood(server: HttpServer) -> None:
    """A body that is longer than any token is not read to its end."""
    assert get(server, "/login", "POST", body="token=" + "x" * 50_000).status == 413


def test_others_read_figures_alone_where_no_token_is_set() -> None:
    """Beyond loopback and without a token nobody sees a program's name; the counts, as ever, yes."""
    with serving("0.0.0.0:0") as server:
        assert [get(server, path).status for path in ("/metrics", "/healthz")] == [200, 200]
        assert [get(server, path, "HEAD").status for path in ("/", "/api/live", "/login")] == [403] * 3
        assert b"http.token_file" in get(server, "/").body


def test_token_is_read_from_a_file_or_a_credential(tmp_path: Path) -> None:
    """The setting first, then systemd's; neither is none."""
    (tmp_path / "http-token").write_text(f"{WORD}\n")
    (tmp_path / "other").write_text("other" + WORD)
    for file in tmp_path.iterdir():
        file.chmod(0o600)
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    named, credential = read_token(str(tmp_path / "other"), systemd), read_token("", systemd)

    assert named is not None
    assert credential is not None
    assert (named.text, credential.text) == ("other" + WORD, WORD)
    assert read_token("", {}) is None
    assert read_token("", {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}) is None
    assert WORD not in repr(credential)


@pytest.mark.parametrize(
    ("content", "mode"), [(None, 0), (b"", 0o600), (b"short", 0o600), (b"two words of more than sixteen", 0o600), (b"\xff" * 32, 0o600),
                          (b"x" * 600, 0o600), (WORD.encode(), 0o644)]
)  # fmt: skip
def test_token_that_is_none_is_refused_and_not_quoted(content: bytes | None, mode: int, tmp_path: Path) -> None:
    """A file that is named and of no use is an error: the port must not stand open against the operator's word."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)

    with pytest.raises(ConfigError) as raised:
        read_token(str(file), {})

    assert str(file) in str(raised.value)
    assert not content or content.decode("latin1") not in str(raised.value)
