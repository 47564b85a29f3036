"""A loopback HTTP server for fakes: strict where it is told to be, and able to misbehave in known ways."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HUGE_BYTES = 10 << 20


class Exchange(http.server.BaseHTTPRequestHandler):
    """One request to a fake."""

    server: Loopback
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.server.serve(self, body)

    def reply(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the name is http.server's
        pass


class Loopback(http.server.ThreadingHTTPServer):
    """The base of the fakes. `fault`, if set, happens instead of an answer; `requests` are the bodies that came."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.fault: Callable[[Exchange], None] | None = None
        self.faults: list[Callable[[Exchange], None]] = []  # used up one by one, before `fault`
        self.requests: list[dict[str, Any]] = []
        self.violations: list[str] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def serve(self, exchange: Exchange, body: bytes) -> None:
        try:
            self.answer(exchange, body)
        except AssertionError as error:
            self.violations.append(f"{exchange.command} {exchange.path}: {error}")
            exchange.reply(400, json.dumps({"error": str(error)}).encode())

    def answer(self, exchange: Exchange, body: bytes) -> None:
        raise NotImplementedError

    def misbehaves(self, exchange: Exchange) -> bool:
        fault = self.faults.pop(0) if self.faults else self.fault
        if fault is not None:
            fault(exchange)
        return fault is not None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve; on leaving, raise for every request that the documented API does not have."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()
            thread.join()
        assert not self.violations, self.violations


def html(exchange: Exchange) -> None:
    """A captive portal, or a proxy."""
    exchange.reply(200, b"<!doctype html><html><body>Welcome to the hotel</body></html>", "text/html")


def html_called_json(exchange: Exchange) -> None:
    exchange.reply(200, b"<html></html>")


def truncated_json(exchange: Exchange) -> None:
    exchange.reply(200, b'{"model": "x", "message": {"role": "assist')


def other_json(exchange: Exchange) -> None:
    """JSON, but of no API."""
    exchange.reply(200, b'["hello"]')


def huge(exchange: Exchange) -> None:
    """10 MB, announced."""
    exchange.reply(200, b" " * HUGE_BYTES)


def huge_unannounced(exchange: Exchange) -> None:
    """10 MB without a length, until the connection closes."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    for _ in range(HUGE_BYTES >> 16):
        exchange.wfile.write(b" " * (1 << 16))


def gzip_bomb(exchange: Exchange) -> None:
    """10 KB that unpack to 10 MB."""
    exchange.reply(200, gzip.compress(b" " * HUGE_BYTES), Content_Encoding="gzip")


def dead(exchange: Exchange) -> None:
    """The server goes away without a word."""
    exchange.connection.shutdown(socket.SHUT_RDWR)


def cut_off(exchange: Exchange) -> None:
    """The server goes away in the middle of the body it announced."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    exchange.connection.shutdown(socket.SHUT_RDWR)


def silent(exchange: Exchange) -> None:
    """The server thinks for longer than anybody waits."""
    with contextlib.suppress(OSError):
        exchange.connection.settimeout(20)
        exchange.connection.recv(1)


def drip_headers(exchange: Exchange) -> None:
    """A byte now and then, so that no read times out: already in the headers."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    _drip(exchange)


def drip_body(exchange: Exchange) -> None:
    """A byte now and then, so that no read times out: in the body."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    _drip(exchange)


def status(code: int, **headers: str) -> Callable[[Exchange], None]:
    """An error with a body that is not the API's."""
    return lambda exchange: exchange.reply(code, b'{"error": {"message": "no"}}', **headers)


def _drip(exchange: Exchange) -> None:
    for _ in range(2000):
        exchange.wfile.write(b" ")
        exchange.wfile.flush()
        time.sleep(0.01)
