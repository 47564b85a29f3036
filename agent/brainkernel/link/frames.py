"""Length-framed JSON over Unix sockets: four bytes of length, big endian, then orjson.

A frame above the limit, a text that is not JSON, or JSON that is not the schema is a `ProtocolError`: the
caller counts it and drops the connection, since nothing after a bad frame can be trusted.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
import orjson

from brainkernel.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LENGTH = struct.Struct(">I")
_PEER = struct.Struct("3i")
READ_BYTES = 1 << 14  # per wakeup: who floods the daemon costs its loop about a millisecond
MAX_FRAME_BYTES = 1 << 20  # the largest honest message is a page of `list`, some 200 KB

T = TypeVar("T")


class Peer(NamedTuple):
    """Who is at the other end of a Unix socket, by SO_PEERCRED (unix(7))."""

    pid: int
    uid: int
    gid: int


def peer_of(sock: socket.socket) -> Peer:
    """Ask the kernel who connected."""
    return Peer(*_PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)))


def frame_of(message: Any) -> bytes:
    """Encode one message. Raises ProtocolError if it is larger than a reader accepts, or has no form in JSON.

    A byte that was not UTF-8 (a lone surrogate, PEP 383) arrives as the text of its escape: JSON has no other way.
    """
    plain = msgspec.to_builtins(message)
    try:
        try:
            body = orjson.dumps(plain)
        except orjson.JSONEncodeError:
            body = orjson.dumps(_without_surrogates(plain))
    except orjson.JSONEncodeError as error:
        msg = f"message has no form in JSON: {error}"
        raise ProtocolError(msg) from None
    if len(body) > MAX_FRAME_BYTES:
        msg = f"message of {len(body)} bytes is larger than {MAX_FRAME_BYTES}"
        raise ProtocolError(msg)
    return _LENGTH.pack(len(body)) + body


def _without_surrogates(plain: Any) -> Any:
    if isinstance(plain, str):
        return plain.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(plain, dict):
        return {_without_surrogates(key): _without_surrogates(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_without_surrogates(value) for value in plain]
    return plain


class FrameBuffer:
    """Cuts a byte stream into frames. Bounded: holds at most one frame and one read."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add what was read, yield each complete body. Raises ProtocolError on a length above the limit."""
        self._bytes += data
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            if length > self._max_bytes:
                msg = f"frame of {length} bytes announced, at most {self._max_bytes} are taken"
                raise ProtocolError(msg)
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield body


def decode(body: bytes, schema: type[T]) -> T:
    """Decode one body and check it against `schema`. Raises ProtocolError, whose text never repeats the body."""
    try:
        return msgspec.convert(orjson.loads(body), schema)
    except orjson.JSONDecodeError:
        msg = "not JSON"
        raise ProtocolError(msg) from None
    except (msgspec.ValidationError, RecursionError) as error:
        msg = f"not the schema: {error}" if len(str(error)) < 200 else "not the schema"  # noqa: PLR2004 # a log line
        raise ProtocolError(msg) from None


def received(sock: socket.socket) -> bytes | None:
    """Take what a non-blocking socket has; None if there is nothing yet, empty when the other side has gone."""
    try:
        return sock.recv(READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def call(sock: socket.socket, message: Any, schema: type[T]) -> T:
    """Send one message on a blocking socket and wait for one answer. The socket's timeout holds for each read."""
    sock.sendall(frame_of(message))
    buffer = FrameBuffer()
    while data := sock.recv(1 << 16):
        for body in buffer.feed(data):
            return decode(body, schema)
    msg = "the other side closed the connection without an answer"
    raise ProtocolError(msg)
