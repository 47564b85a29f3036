"""The gateway's HTTP server: `/metrics`, `/healthz` and a page that says what this is.

It reads requests of strangers, so it is bounded in time, in connections and in what it takes; and nothing here
changes anything: there is no method but GET and HEAD.
"""

from __future__ import annotations

import http.server
import ipaddress
import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS_MAX = 32
REQUEST_TIMEOUT_S = 5  # for each read and write, and LIFETIME_S for all together: a slow-loris gets no further
LIFETIME_S = 15.0

_PAGE = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>BrainKernel</title></head>
<body><h1>BrainKernel</h1>
<p>This is the gateway of BrainKernel, the unprivileged half of an agent that sees what starts on this host and slows
down, reversibly, what hurts others. It has no rights here and changes nothing.</p>
<ul><li><a href="/metrics">/metrics</a>: figures for Prometheus</li><li><a href="/healthz">/healthz</a>: whether it runs</li></ul>
<p>On the host itself: <code>brainkernel status</code>, <code>brainkernel list</code>, <code>brainkernel explain ID</code>.</p>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


class HttpServer(http.server.ThreadingHTTPServer):
    """Serves on `address:port` until closed. Raises OSError when it cannot listen there, ValueError for a bad address."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, listen: str, *, metrics_text: Callable[[], bytes], health: Callable[[], str]) -> None:
        """`metrics_text` makes the exposition, `health` one line; both are called in a thread per request."""
        host, port = address_of(listen)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.metrics_text = metrics_text
        self.health = health
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__((host, port), _Request)
        self.only_loopback = ipaddress.ip_address(str(self.server_address[0])).is_loopback

    def server_bind(self) -> None:
        """Bind without the reverse look-up of http.server, which can take seconds of DNS."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, name="http", daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give each request a thread, while there is place."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, within its lifetime."""
        end = threading.Timer(LIFETIME_S, _shut_down, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away or sent nonsense is its own affair."""

    @property
    def url(self) -> str:
        """Where it serves."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def reply_to(self, path: str) -> Reply:
        """The answer to a GET of this path."""
        match path.partition("?")[0]:
            case "/":
                return Reply(HTTPStatus.OK, "text/html; charset=utf-8", _PAGE)
            case "/metrics":
                return Reply(HTTPStatus.OK, CONTENT_TYPE_LATEST, self.metrics_text())
            case "/healthz":
                return Reply(HTTPStatus.OK, "text/plain; charset=utf-8", f"{self.health()}\n".encode())
            case _:
                return Reply(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"not found\n")

    def trusts_host(self, host: str) -> bool:
        """Whether a request for this Host may be answered.

        A page on the web can give its own name our loopback address (DNS rebinding) and would then read what we
        serve. By an address or as localhost it cannot; where we listen for others, any name may be right.
        """
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return not self.only_loopback or name == "localhost"
        return True


class _Request(http.server.BaseHTTPRequestHandler):
    server: HttpServer
    server_version = "brainkernel"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if self.server.trusts_host(self.headers.get("Host", "")):
            reply = self.server.reply_to(self.path)
        else:
            reply = Reply(HTTPStatus.MISDIRECTED_REQUEST, "text/plain; charset=utf-8", b"use an IP address or localhost\n")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the name is http.server's
        pass  # a scrape every few seconds is no event


def address_of(listen: str) -> tuple[str, int]:
    """Split `address:port` or `[address]:port`; the address must be a number. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 # 16 bits
        msg = f'http.listen: {listen!r} is not "address:port"'
        raise ValueError(msg)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != "localhost":
            msg = f"http.listen: {host!r} is not an IP address"
            raise ValueError(msg) from None
        host = "127.0.0.1"
    return host, int(port)


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself
