"""The paths: `/metrics`, `/healthz`, the dashboard and what it reads.

Nothing here changes anything but who is logged in: there is no method but GET and HEAD, and POST of the token.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import parse_qs

import msgspec
import orjson
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from brainkernel.gateway.web import files
from brainkernel.gateway.web.live import Live
from brainkernel.gateway.web.readings import SeriesQuery, UnansweredError
from brainkernel.gateway.web.shared import Shared
from brainkernel.gateway.web.token import COOKIE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable
    from typing import Any

    from starlette.requests import Request

    from brainkernel.gateway.web.readings import Readings
    from brainkernel.gateway.web.token import Token

T = TypeVar("T")

THREADS = 4  # that may wait for the daemon at once
LOGIN_BYTES_MAX = 4096
NAMES_MAX, NAME_CHARS = 64, 80  # that one page may watch
FRESH_S = 2.0
WRONG = "wrong"  # the query of the login page after a wrong token


class Sources(Protocol):
    """Where the answers come from. All of it may wait for the daemon, some seconds at most, and is called in a thread."""

    def metrics_text(self) -> bytes:
        """Prometheus' text of both processes."""
        ...

    def health(self) -> str:
        """One line."""
        ...

    @property
    def readings(self) -> Readings:
        """What the dashboard reads."""
        ...


def application(sources: Sources, token: Token | None) -> Starlette:
    """Make the application; all its files are in memory from now on."""
    return Starlette(routes=_Pages(sources, token).routes())


class _Pages:
    def __init__(self, sources: Sources, token: Token | None) -> None:
        self._sources = sources
        self._token = token
        self._files = files.load()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="http")
        self._live = Live(self._live_line)
        self._shared: Shared[bytes] = Shared()

    def routes(self) -> list[Route]:
        return [
            Route("/", self._page),
            Route("/static/{path:path}", self._static),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
            Route("/login", self._login_page),
            Route("/login", self._login, methods=["POST"]),
            Route("/api/live", self._stream),
            Route("/api/series", self._series),
            Route("/api/decisions", self._decisions),
            Route("/api/decisions/{id:int}", self._decision),
        ]

    async def _page(self, request: Request) -> Response:
        return self._file("index.html", request)

    async def _static(self, request: Request) -> Response:
        return self._file(request.path_params["path"], request)

    async def _login_page(self, request: Request) -> Response:
        if request.url.query == WRONG:
            page = self._files["login.html"].body.replace(b"<!-- wrong -->", b'<p role="alert">That is not the token.</p>')
            return HTMLResponse(page, HTTPStatus.UNAUTHORIZED)
        return self._file("login.html", request)

    async def _login(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LOGIN_BYTES_MAX:
                return PlainTextResponse("too long\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        word = parse_qs(body.decode("ascii", "replace")).get("token", [""])[0]
        if self._token is None or not self._token.is_right(word.strip()):
            return RedirectResponse(f"/login?{WRONG}", HTTPStatus.SEE_OTHER)
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        answer.set_cookie(COOKIE, self._token.cookie, httponly=True, samesite="strict")
        return answer

    async def _metrics(self, _request: Request) -> Response:
        return Response(await self._asked(self._sources.metrics_text), media_type=CONTENT_TYPE_LATEST)

    async def _health(self, _request: Request) -> Response:
        return PlainTextResponse(f"{self._sources.health()}\n")

    async def _stream(self, request: Request) -> Response:
        if self._live.is_full:
            return PlainTextResponse("too many look on already\n", HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "30"})
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        names = request.query_params.getlist("name")
        if len(names) > NAMES_MAX or any(len(name) > NAME_CHARS for name in names):
            return PlainTextResponse("too many names\n", HTTPStatus.BAD_REQUEST)
        return StreamingResponse(self._live.events(names), media_type="text/event-stream")

    async def _series(self, request: Request) -> Response:
        given = request.query_params
        try:
            query = msgspec.convert(dict(given) | {"name": tuple(given.getlist("name"))}, SeriesQuery, strict=False)
        except msgspec.ValidationError as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.BAD_REQUEST)
        return await self._read(query, query.fresh_s, lambda: self._sources.readings.series(query))

    async def _decisions(self, request: Request) -> Response:
        query = dict(request.query_params)
        return await self._read(tuple(sorted(query.items())), FRESH_S, lambda: self._sources.readings.decisions(query))

    async def _decision(self, request: Request) -> Response:
        number: int = request.path_params["id"]
        return await self._read(number, FRESH_S, lambda: self._sources.readings.decision(number))

    async def _read(self, question: Hashable, fresh_s: float, ask: Callable[[], dict[str, Any]]) -> Response:
        async def asked() -> bytes:
            return orjson.dumps(await self._asked(ask))

        try:
            return Response(await self._shared.get(question, fresh_s, asked), media_type="application/json")
        except UnansweredError as error:
            return PlainTextResponse(f"{error}\n", error.status)

    def _file(self, path: str, request: Request) -> Response:
        found = self._files.get(path)
        if found is None:
            return PlainTextResponse("not found\n", HTTPStatus.NOT_FOUND)
        headers = {"ETag": found.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.body, media_type=found.content_type, headers=headers)

    async def _live_line(self, names: Collection[str]) -> bytes:
        wanted = sorted(names)
        return orjson.dumps(await self._asked(lambda: self._sources.readings.live(wanted)))

    def _asked(self, ask: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, ask)
