"""The gateway's HTTP server on a free port, over sources that a test fills."""

from __future__ import annotations

import contextlib
import http.client
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from brainkernel.gateway.web.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.gateway.web.token import Token


@dataclass
class FakeSources:
    """What the gateway would answer, and how often it was asked."""

    said: list[str] = field(default_factory=list)
    now: dict[str, Any] = field(default_factory=lambda: {"connected": True})
    asked_live: int = 0

    def metrics_text(self) -> bytes:
        return b"brainkernel_up 1\n"

    def health(self) -> str:
        return "ok"

    def live(self) -> dict[str, Any]:
        self.asked_live += 1
        return self.now | {"number": self.asked_live}


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


def connected(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


@dataclass(frozen=True)
class Got:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def get(server: HttpServer, path: str, method: str = "GET", host: str = "localhost", body: str | None = None, **headers: str) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body=body, headers={"Host": host} | {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return Got(response.status, response.headers, response.read())
