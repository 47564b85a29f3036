"""Who may read: the rules in front of every path, and the headers behind every answer."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from brainkernel.gateway.web.token import Token

# Without the token: the sign of life, and what the login is made of.
OPEN_PATHS = ("/healthz", "/login", "/static/dashboard.css", "/static/icon.svg")
# Figures without names, as Prometheus fetches them: all that others may read where no token is set.
FIGURES_PATHS = ("/metrics", "/healthz")
# No inline script or style, nothing from elsewhere, and no text that could become markup (Trusted Types).
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "brainkernel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Judges each request before anything reads it, as ASGI middleware.

    Who comes through the Unix socket has passed the file's permissions and is asked nothing.
    """

    app: ASGIApp
    token: Token | None
    only_loopback: bool
    say: Callable[[str], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await (self._refusal_of(scope) or self.app)(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 # one request that failed is one line, and an answer
            self.say(f"{scope['path'][:80]!r} failed by a fault of the gateway: {type(error).__name__}: {error}")
            if not started:
                await _text(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the gateway; its log has it")(scope, receive, send_with_headers)

    def _refusal_of(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if _is_unix(scope):
            return None
        if not trusts_host(headers.get("host", ""), only_loopback=self.only_loopback):
            return _text(HTTPStatus.MISDIRECTED_REQUEST, "use an IP address or localhost")
        if _comes_from_another_site(headers):
            return _text(HTTPStatus.FORBIDDEN, "not for pages of other sites")
        if self.token is None:
            return None if self.only_loopback or scope["path"] in FIGURES_PATHS else _text(HTTPStatus.FORBIDDEN, _NO_TOKEN)
        if scope["path"] in OPEN_PATHS or self.token.admits(headers):
            return None
        return _question_for_the_token(scope["method"], headers)


_NO_TOKEN = "beyond this host the dashboard asks for a token, and none is set: see http.token_file in brainkernel.toml(5)"  # noqa: S105 # no secret


def trusts_host(host: str, *, only_loopback: bool) -> bool:
    """Whether a request for this Host may be answered.

    A page on the web can give its own name our loopback address (DNS rebinding) and would then read what we
    serve. By an address or as localhost it cannot; where we listen for others, any name may be right.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return bool(name) and (not only_loopback or name == "localhost")
    return True


def _comes_from_another_site(headers: Headers) -> bool:
    # Fetch Metadata: a link that somebody follows (navigate) may come from anywhere, all else only from our own page.
    site = headers.get("sec-fetch-site", "none")
    return site in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate"


def _question_for_the_token(method: str, headers: Headers) -> Response:
    if method == "GET" and "text/html" in headers.get("accept", ""):
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer = _text(HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN, or /login")
    answer.headers["WWW-Authenticate"] = 'Bearer realm="brainkernel"'
    return answer


def _is_unix(scope: Scope) -> bool:
    server = scope.get("server")
    return server is None or server[1] is None


def _text(status: HTTPStatus, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)
