"""One HTTP exchange with a bounded body and a hard end, for clients that have neither.

The clients of Groq and Ollama both stand on httpx but raise different things, read a body of any size into
memory, and know timeouts only per read, so that a server that sends a byte a second holds a thread for ever.
Their common documented seam is httpx' event hooks. (A transport of our own would do too, but httpx then ignores
HTTPS_PROXY, which some hosts need to reach Groq.)
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

from brainkernel.gateway.llm.failure import Cause, LlmError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BODY_BYTES = 256 << 10  # eight verdicts are some 2 KB
CONNECT_TIMEOUT_S = 2.0  # a host that drops packets must leave time for the next backend
_TOO_MANY_REQUESTS = 429
_FIRST_FAILURE = 300  # redirects are not followed: what we send goes where the configuration says
_FIRST_SERVER_FAULT = 500
_REQUEST_TIMEOUT = 408


@dataclass(slots=True)
class Exchange:
    """What is known of the exchange under way in this thread."""

    ends: float  # time.monotonic
    cut: Cause | None = None  # set when we ended it ourselves
    status: int | None = None
    retry_after_s: float | None = None
    sockets: list[socket.socket] = field(default_factory=list)

    def expire(self) -> None:
        """End the exchange now, whatever it waits for."""
        self.cut = self.cut or Cause.TIMEOUT
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # the plain one: SSLSocket's would drop the TLS state under a reader

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Note each socket as httpcore makes it (its documented `trace` extension)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete", "connect_unix_socket.complete")):
            self.sockets.append(info["return_value"].get_extra_info("socket"))

    def error_of(self, error: Exception) -> LlmError:
        """The one name for what went wrong, whichever client raised it."""
        text = f"{type(error).__name__}: {error}"[:200]
        if self.cut is not None:
            return LlmError(self.cut, text)
        chain = list(_chain(error))
        if any(isinstance(e, httpx.TimeoutException) for e in chain):
            return LlmError(Cause.TIMEOUT, text)
        if self.status is None or any(isinstance(e, httpx.TransportError) for e in chain):
            return LlmError(Cause.CONNECTION, text)
        if self.status >= _FIRST_FAILURE:
            return self._error_of_status(self.status, text)
        no_json = any(isinstance(e, UnicodeDecodeError) or type(e).__name__ == "JSONDecodeError" for e in chain)
        return LlmError(Cause.NOT_JSON if no_json else Cause.WRONG_SCHEMA, text)

    def _error_of_status(self, status: int, text: str) -> LlmError:
        if status == _TOO_MANY_REQUESTS:
            return LlmError(Cause.RATE_LIMITED, text, retry_after_s=self.retry_after_s)
        permanent = status < _FIRST_SERVER_FAULT and status != _REQUEST_TIMEOUT
        return LlmError(Cause.HTTP_STATUS, text, retry_after_s=self.retry_after_s, permanent=permanent)


_current: ContextVar[Exchange] = ContextVar("exchange")


@contextlib.contextmanager
def exchange(timeout_s: float) -> Iterator[Exchange]:
    """Run one call of a client made with `http_options` in here. Whatever it raises becomes an LlmError."""
    one = Exchange(time.monotonic() + timeout_s)
    token = _current.set(one)
    watchdog = threading.Timer(timeout_s, one.expire)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield one
    except LlmError:
        raise
    except Exception as error:  # noqa: BLE001 # the clients raise what they like, ValueError and TypeError included
        raise one.error_of(error) from None
    finally:
        watchdog.cancel()
        _current.reset(token)


def http_options() -> dict[str, Any]:
    """Keyword arguments for `httpx.Client` that tie it to `exchange`.

    No connection is kept: calls are rare, a connection idle for seconds is often dead, and one of its own lets
    the watchdog end a call without touching another. Bodies come uncompressed, or the bound would not bound.
    """
    return {
        "event_hooks": {"request": [_on_request], "response": [_on_response]},
        "limits": httpx.Limits(max_keepalive_connections=0),
        "headers": {"Accept-Encoding": "identity"},
        "follow_redirects": False,
    }


def _on_request(request: httpx.Request) -> None:
    one = _current.get()
    left = max(0.001, one.ends - time.monotonic())
    request.extensions = {
        **request.extensions,
        "timeout": {"connect": min(CONNECT_TIMEOUT_S, left), "read": left, "write": left, "pool": left},
        "trace": one.trace,
    }


def _on_response(response: httpx.Response) -> None:
    one = _current.get()
    one.status = response.status_code
    one.retry_after_s = retry_after_of(response.headers.get("Retry-After", ""), time.time())
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        one.cut = Cause.TOO_LARGE
        response.close()
        msg = f"a body of {announced} bytes is announced"
        raise LlmError(Cause.TOO_LARGE, msg)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        response.close()
        msg = "a compressed body came though none was asked for"
        raise LlmError(Cause.WRONG_SCHEMA, msg)
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _BoundedStream(response.stream, one)


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, one: Exchange) -> None:
        self._stream = stream
        self._exchange = one

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        for chunk in self._stream:
            total += len(chunk)
            if total > MAX_BODY_BYTES:
                self._exchange.cut = Cause.TOO_LARGE
                msg = f"the body is larger than {MAX_BODY_BYTES} bytes"
                raise LlmError(Cause.TOO_LARGE, msg)
            yield chunk

    def close(self) -> None:
        self._stream.close()


def retry_after_of(header: str, now_s: float) -> float | None:
    """Seconds to wait by a Retry-After header (a number, which Groq sends with a fraction, or a date); None if unusable."""
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now_s
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    return seconds if 0 <= seconds <= 86_400 else None  # noqa: PLR2004 # a day; nan and inf fail the comparison


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__]
