"""The HTTP server, over real sockets, with clients that behave and clients that do not."""

from __future__ import annotations

import contextlib
import http.client
import socket
from typing import TYPE_CHECKING

import pytest
from brainkernel.gateway import http as gateway_http
from brainkernel.gateway.http import CONNECTIONS_MAX, HttpServer, address_of
from prometheus_client.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with serving() as made:
        yield made


@contextlib.contextmanager
def serving(listen: str = "127.0.0.1:0") -> Iterator[HttpServer]:
    server = HttpServer(listen, metrics_text=lambda: b"brainkernel_up 1\n", health=lambda: "ok")
    server.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def connected(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.server_address[1])), timeout=10)


def get(server: HttpServer, path: str, method: str = "GET", host: str = "localhost") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.server_address[1]), timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.headers.get("Content-Type", ""), response.read()


def test_http_serves_metrics_health_and_a_page(server: HttpServer) -> None:
    """The three paths answer, anything else is not there."""
    assert get(server, "/metrics") == (200, CONTENT_TYPE_LATEST, b"brainkernel_up 1\n")
    assert get(server, "/metrics?x=1")[0] == 200
    assert get(server, "/healthz")[2] == b"ok\n"
    assert b"<h1>BrainKernel</h1>" in get(server, "/")[2]
    assert get(server, "/../etc/passwd")[0] == 404


def test_http_changes_nothing(server: HttpServer) -> None:
    """HEAD has no body, and there is no method that could do anything."""
    assert get(server, "/metrics", "HEAD") == (200, CONTENT_TYPE_LATEST, b"")
    assert [get(server, "/", method)[0] for method in ("POST", "PUT", "DELETE")] == [501, 501, 501]


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:9750", 200), ("127.0.0.1", 200), ("[::1]:9750", 200), ("evil.example", 421), ("evil.example:9750", 421), ("", 421)],
)
def test_http_on_loopback_answers_no_name_of_the_web(server: HttpServer, host: str, status: int) -> None:
    """A page that rebinds its name to our address cannot read what we serve."""
    assert get(server, "/metrics", host=host)[0] == status


def test_http_for_others_answers_to_any_name() -> None:
    """Where it listens for other hosts, they may call it by its name."""
    with serving("0.0.0.0:0") as server:  # that is what is tested
        assert get(server, "/healthz", host="db1.example:9750")[0] == 200


def test_http_serves_others_while_some_stall(server: HttpServer) -> None:
    """Slow-loris connections take places, not the server; beyond the places they are closed at once."""
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX - 4):
            stalled = stack.enter_context(connected(server))
            stalled.sendall(b"GET /metrics HTTP/1.1\r\nX:")

        assert get(server, "/healthz")[0] == 200
        assert get(server, "/healthz")[0] == 200


def test_http_closes_a_connection_for_which_there_is_no_place(server: HttpServer) -> None:
    """Two hundred at once cost thirty-two threads."""
    for _ in range(CONNECTIONS_MAX):
        assert server._places.acquire(blocking=False)

    with connected(server) as extra:
        assert extra.recv(1) == b""


def test_http_ends_a_connection_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then resets no clock: a connection has a lifetime."""
    monkeypatch.setattr(gateway_http, "LIFETIME_S", 0.2)
    with serving() as server, connected(server) as loris:
        loris.sendall(b"GET / HTTP/1.1\r\nX: ")

        assert loris.recv(1) == b""


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00", b"\r\n\r\n", b"GET\r\n\r\n", b"A" * 70_000 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_http_survives_junk(server: HttpServer, junk: bytes) -> None:
    """What is not HTTP gets an error or nothing, and the next client its answer."""
    with connected(server) as client, contextlib.suppress(ConnectionError):
        client.sendall(junk)
        client.shutdown(socket.SHUT_WR)
        while client.recv(1 << 16):
            pass

    assert get(server, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:9750", ("127.0.0.1", 9750)), ("[::1]:80", ("::1", 80)), ("localhost:1", ("127.0.0.1", 1)), ("0.0.0.0:0", ("0.0.0.0", 0))],  # noqa: S104
)
def test_address_is_split(listen: str, address: tuple[str, int]) -> None:
    """IPv4, IPv6 in brackets, localhost."""
    assert address_of(listen) == address


@pytest.mark.parametrize("listen", ["9750", ":9750", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "example.com:80", "127.0.0.1:-1"])
def test_address_that_is_none_is_refused(listen: str) -> None:
    """The message names the setting."""
    with pytest.raises(ValueError, match=r"http\.listen"):
        address_of(listen)


def test_url_is_one_a_browser_takes() -> None:
    """With the port that was given, brackets around IPv6."""
    with serving("[::1]:0") as six, serving() as four:
        assert six.url == f"http://[::1]:{six.server_address[1]}/"
        assert four.url == f"http://127.0.0.1:{four.server_address[1]}/"
