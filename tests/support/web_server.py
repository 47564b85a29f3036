"""The gateway's HTTP server on a free port, over sources that a test fills."""

from __future__ import annotations

import contextlib
import http.client
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from brainkernel.gateway.web.readings import Readings
from brainkernel.gateway.web.server import HttpServer
from brainkernel.link.messages import ReadAnswered
from brainkernel.metrics import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from brainkernel.gateway.web.token import Token
    from brainkernel.link.messages import Read


class FakeDaemon:
    """Answers the gateway's questions out of `results`, by the name of the question; without one it is away."""

    def __init__(self, **results: dict[str, Any] | Callable[[Any], dict[str, Any]]) -> None:
        self.results = results
        self.asked: list[Read] = []

    def read(self, question: Read, _timeout_s: float) -> ReadAnswered:
        self.asked.append(question)
        result = self.results.get(type(question).__name__)
        if callable(result):
            result = result(question)
        return ReadAnswered(id=question.id, result=result, error="" if result is not None else "away")


class FakeSources:
    """What the gateway would answer."""

    def __init__(self, daemon: FakeDaemon | None = None) -> None:
        self.daemon = daemon or FakeDaemon()
        self.figures = Figures()
        self.said: list[str] = []
        self.readings = Readings(self.daemon.read, lambda: [self.figures.snapshot()])

    def metrics_text(self) -> bytes:
        return b"brainkernel_up 1\n"

    def health(self) -> str:
        return "ok"


@contextlib.contextmanager
def serving(
    listen: str = "127.0.0.1:0", *, sources: FakeSources | None = None, token: Token | None = None, unix_socket: Path | None = None
) -> Iterator[HttpServer]:
    sources = sources or FakeSources()
    server = HttpServer(listen, sources, token=token, unix_socket=unix_socket, say=sources.said.append)
    server.start()
    try:
        yield server
    finally:
        server.close()


def port_of(server: HttpServer) -> int:
    return urlsplit(server.url).port or 0


def connected(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=60)


@dataclass(frozen=True)
class Got:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def get(server: HttpServer, path: str, method: str = "GET", host: str = "localhost", body: str | None = None, **headers: str) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body=body, headers={"Host": host} | {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return Got(response.status, response.headers, response.read())
