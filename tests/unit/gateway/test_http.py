"""The HTTP server, over real sockets, with clients that behave and clients that do not."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest
from brainkernel.gateway.web import connection as connections
from brainkernel.gateway.web.address import address_of
from brainkernel.gateway.web.token import Token
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from support.web_server import FakeDaemon, FakeSources, connected, get, port_of, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.gateway.web.server import HttpServer


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with serving() as made:
        yield made


def test_http_serves_metrics_health_and_a_page(server: HttpServer) -> None:
    """The paths answer, anything else is not there."""
    metrics = get(server, "/metrics")

    assert (metrics.status, metrics.headers["Content-Type"], metrics.body) == (200, CONTENT_TYPE_LATEST, b"brainkernel_up 1\n")
    assert get(server, "/metrics?x=1").status == 200
    assert get(server, "/healthz").body == b"ok\n"
    assert b"BrainKernel" in get(server, "/").body
    assert [get(server, path).status for path in ("/../etc/passwd", "/static/../app.py", "/static/%2e%2e/app.py", "/static/")] == [404] * 4


def test_http_changes_nothing(server: HttpServer) -> None:
    """HEAD has no body, and there is no method that could do anything."""
    assert get(server, "/metrics", "HEAD").body == b""
    assert [get(server, path, method).status for method in ("POST", "PUT", "DELETE") for path in ("/", "/metrics")] == [405] * 6


@pytest.mark.parametrize("path", ["/", "/metrics", "/nothing", "/static/dashboard.css"])
def test_http_answers_forbid_whatever_a_page_does_not_need(server: HttpServer, path: str) -> None:
    """Each answer, errors too, has a policy without inline code and foreign sources, and names no version."""
    headers = get(server, path).headers
    policy = headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
    assert headers.get_all("Server") == ["brainkernel"]


def test_http_sends_a_file_once(server: HttpServer) -> None:
    """Who has a file already is told so."""
    first = get(server, "/")

    again = get(server, "/", If_None_Match=first.headers["ETag"])

    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:9750", 200), ("127.0.0.1", 200), ("[::1]:9750", 200), ("evil.example", 421), ("evil.example:9750", 421), ("", 421)],
)
def test_http_on_loopback_answers_no_name_of_the_web(server: HttpServer, host: str, status: int) -> None:
    """A page that rebinds its name to our address cannot read what we serve."""
    assert get(server, "/metrics", host=host).status == status


def test_http_for_others_answers_to_any_name() -> None:
    """Where it listens for other hosts, they may call it by its name."""
    with serving("0.0.0.0:0") as server:  # that is what is tested
        assert get(server, "/healthz", host="db1.example:9750").status == 200


def test_http_answers_no_page_of_another_site(server: HttpServer) -> None:
    """A browser says where a request comes from: following a link is right, reading from elsewhere is not."""
    assert get(server, "/api/live", "HEAD", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors").status == 403
    assert get(server, "/api/live", "HEAD", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors").status == 200
    assert get(server, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


@pytest.mark.parametrize(
    "beginning", [b"GET /metrics HTTP/1.1\r\nX:", b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"]
)
def test_http_serves_others_while_some_stall(server: HttpServer, beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """More slow-loris connections than there are places do not keep anybody out, whether they stall in a head or in a body."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 20)
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stalled = stack.enter_context(connected(server))
            stalled.sendall(beginning)
        time.sleep(0.3)  # until they are read: only then might a place be taken for good

        assert [get(server, "/healthz").status for _ in range(3)] == [200] * 3
        assert len(server._server.server_state.connections) <= 20


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTTP/1.1\r\nX: ",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET",
        b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n",
    ],
)
def test_http_ends_a_connection_that_drips(beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then resets no clock, in the first request, in the second or in a body."""
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 0.3)
    with serving() as server, connected(server) as loris:
        loris.sendall(beginning)
        ended = False
        patience = time.monotonic() + 60
        while not ended and time.monotonic() < patience:
            time.sleep(0.05)
            try:
                loris.sendall(b"x")
                loris.setblocking(False)
                ended = loris.recv(4096) == b""
            except BlockingIOError:
                pass
            except ConnectionError:
                ended = True
            finally:
                loris.settimeout(60)

        assert ended


def test_http_ends_a_connection_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that looks at live figures and reads none of them loses its place."""
    monkeypatch.setattr(connections, "READER_TIMEOUT_S", 0.2)
    sources = FakeSources(FakeDaemon(OverviewAsked={"much": "x" * 8_000_000}))
    with serving(sources=sources) as server, connected(server) as silent:
        silent.sendall(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        patience = time.monotonic() + 60
        while not sources.daemon.asked or server._server.server_state.connections:
            assert time.monotonic() < patience
            time.sleep(0.05)


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00", b"\r\n\r\n", b"GET\r\n\r\n", b"A" * 70_000 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
)
def test_http_survives_junk(junk: bytes) -> None:
    """What is not HTTP gets an error or nothing, the next client its answer, and the log stays empty."""
    sources = FakeSources()
    with serving(sources=sources) as server:
        with connected(server) as client, contextlib.suppress(ConnectionError):
            client.sendall(junk)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass

        assert get(server, "/healthz").status == 200
    assert sources.said == []


def test_http_says_a_fault_of_its_own_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug costs one request: it gets a 500, the log one line without what a stranger wrote, the next request its answer."""
    sources = FakeSources()

    def broken() -> bytes:
        raise KeyError(0)

    monkeypatch.setattr(sources, "metrics_text", broken)
    with serving(sources=sources) as server:
        assert get(server, "/metrics?%1b[31m").status == 500
        assert get(server, "/healthz").status == 200

    assert sources.said == ["'/metrics' failed by a fault of the gateway: KeyError: 0"]


def test_http_at_a_unix_socket_asks_nothing(tmp_path: Path) -> None:
    """The file's permissions say who may come, whatever they call the host; what an earlier run left is replaced; no port is needed."""
    path = tmp_path / "http.sock"
    for listen in ("127.0.0.1:0", ""):
        with serving(listen, unix_socket=path, token=Token("a-token-that-nobody-knows")), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: any.name\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))

        assert answer.startswith(b"HTTP/1.1 200")
    assert path.stat().st_mode & 0o777 == 0o660


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
        assert six.url == f"http://[::1]:{port_of(six)}/"
        assert four.url == f"http://127.0.0.1:{port_of(four)}/"
