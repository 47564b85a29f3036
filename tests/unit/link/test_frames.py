"""Frames and decoding, against bytes that nobody honest would send."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from typing import Any

import msgspec
import orjson
import pytest
from brainkernel.errors import ProtocolError
from brainkernel.link.frames import MAX_FRAME_BYTES, FrameBuffer, call, decode, frame_of, peer_of
from brainkernel.link.messages import Answers, Ask, ControlRequest, ControlResponse, FiguresNow, FromGateway, Hello
from hypothesis import given
from hypothesis import strategies as st

FROM_GATEWAY: Any = FromGateway
SCHEMAS: tuple[Any, ...] = (Answers, Ask, Hello, FiguresNow, ControlRequest, ControlResponse, FROM_GATEWAY)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=6), st.data())
def test_buffer_gives_back_what_was_sent_however_it_is_cut(messages: list[Any], data: st.DataObject) -> None:
    """A stream may arrive in any pieces; each message comes out once, whole and in order."""
    stream = b"".join(frame_of(m) for m in messages)
    buffer, bodies, at = FrameBuffer(), [], 0

    while at < len(stream):
        step = data.draw(st.integers(1, len(stream) - at))
        bodies += list(buffer.feed(stream[at : at + step]))
        at += step

    assert [orjson.loads(b) for b in bodies] == [orjson.loads(orjson.dumps(m)) for m in messages]


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_buffer_raises_nothing_but_protocol_errors(chunks: list[bytes]) -> None:
    """Any bytes are frames, an incomplete frame or a ProtocolError."""
    buffer = FrameBuffer(max_bytes=4096)

    with contextlib.suppress(ProtocolError):
        for chunk in chunks:
            for body in buffer.feed(chunk):
                assert len(body) <= 4096


@given(st.binary(max_size=300) | json_values.map(orjson.dumps), st.sampled_from(SCHEMAS))
def test_decode_raises_nothing_but_protocol_errors(body: bytes, schema: Any) -> None:
    """Any body is a value of the schema or a ProtocolError."""
    with contextlib.suppress(ProtocolError):
        decode(body, schema)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"figures":' * 2000 + b"1" + b"}" * 2000,
        b'{"type":"answers","id":"x","verdicts":[{"category":"service","confidence":NaN,"reason":""}]}',
        b'{"type":"answers","id":"x","verdicts":[{"category":"service","confidence":1e999,"reason":""}]}',
        b'{"type":"answers","id":"x","verdicts":[{"category":"service","confidence":1e15,"reason":""}]}',
        b'{"type":"answers","id":"x","verdicts":[{"category":"service","confidence":-0.1,"reason":""}]}',
        b'{"type":"answers","id":"x","verdicts":[{"category":"service","confidence":true,"reason":""}]}',
        b'{"type":"answers","id":"x","verdicts":[{"category":"god","confidence":1,"reason":""}]}',
        b'{"type":"answers","id":"x","verdicts":[{"category":"service","confidence":1,"reason":"","may_act":true}]}',
        b'{"type":"answers","id":"x","verdicts":[null,null,null,null,null,null,null,null,null]}',
        b'{"type":"ask","id":"x"}',
        b'{"id":"x"}',
        b"\xff\xfe",
        b"",
    ],
)
def test_decode_refuses(body: bytes) -> None:
    """Nesting, impossible numbers, unknown fields and categories, too many verdicts: none becomes a message."""
    with pytest.raises(ProtocolError):
        decode(body, FROM_GATEWAY)


def test_decode_error_never_repeats_the_body() -> None:
    """What a peer sent does not reach a log through the error's text."""
    with pytest.raises(ProtocolError) as caught:
        decode(b'{"type":"hello","backend":"sk-secret","model":7}', Hello)

    assert "sk-secret" not in str(caught.value)


def test_buffer_refuses_a_length_above_the_limit_before_reading_it() -> None:
    """Four bytes can not make us wait for four gigabytes."""
    with pytest.raises(ProtocolError, match="announced"):
        list(FrameBuffer().feed(struct.pack(">I", MAX_FRAME_BYTES + 1)))


def test_frame_refuses_a_message_no_reader_would_take() -> None:
    """The sender learns of it, not the reader."""
    with pytest.raises(ProtocolError, match="larger"):
        frame_of({"a": "x" * MAX_FRAME_BYTES})


def test_frame_shows_bytes_that_were_not_utf8_as_their_escape() -> None:
    """An argv with a lone surrogate travels, in values and in keys, instead of stopping the daemon."""
    body = frame_of(ControlResponse(exit_code=0, result={"ar\udcffgv": ["a\udc80b", ("ok",)]}))[4:]

    assert decode(body, ControlResponse).result == {"ar\\udcffgv": ["a\\udc80b", ["ok"]]}


def test_frame_refuses_what_json_has_no_form_for() -> None:
    """A number beyond 64 bits is our own bug, and a ProtocolError like the others."""
    with pytest.raises(ProtocolError, match="no form"):
        frame_of({"n": 2**70})


def test_call_sends_one_message_and_returns_the_answer() -> None:
    """The client's side of the control socket, over a real socket pair."""
    client, server = socket.socketpair()

    def answer() -> None:
        (body,) = FrameBuffer().feed(server.recv(1 << 16))
        assert decode(body, ControlRequest).command == "status"
        for byte in frame_of(ControlResponse(exit_code=0, result=[1])):
            server.sendall(bytes([byte]))

    thread = threading.Thread(target=answer)
    thread.start()
    with client, server:
        response = call(client, ControlRequest(command="status"), ControlResponse)
        thread.join()

    assert response == ControlResponse(exit_code=0, result=[1])


def test_call_raises_when_the_other_side_hangs_up() -> None:
    """A daemon that dies in the middle of an answer is a ProtocolError, not an endless wait."""
    client, server = socket.socketpair()
    with client:
        server.sendall(b"\x00\x00")
        server.shutdown(socket.SHUT_WR)

        with server, pytest.raises(ProtocolError, match="closed"):
            call(client, ControlRequest(command="status"), ControlResponse)


def test_peer_is_named_by_the_kernel() -> None:
    """SO_PEERCRED of a socket pair is this process."""
    one, other = socket.socketpair()
    with one, other:
        assert peer_of(one) == (os.getpid(), os.getuid(), os.getgid())


@given(st.text(max_size=40))
def test_messages_survive_the_wire(text: str) -> None:
    """What encodes decodes to the same value, for any text that is text."""
    hello = Hello(backend=text, model=text, reason=text)

    assert decode(frame_of(hello)[4:], Hello) == (msgspec.convert(msgspec.to_builtins(hello), Hello))
