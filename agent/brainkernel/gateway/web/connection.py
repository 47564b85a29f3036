"""uvicorn's connection, with the deadlines that uvicorn leaves to a proxy before it."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

CONNECTIONS_MAX = 512  # 200 dashboards hold a stream each and ask beside it; the process may open 1024 files
REQUEST_TIMEOUT_S = 10.0  # from the first byte (or the connection) to the last of a request, body too: a slow loris gets no further
READER_TIMEOUT_S = 30.0  # a client that reads nothing of its answer for so long is gone


class Connection(H11Protocol):
    """One client. What drips its request or does not read its answer is cut off; when all places are taken, who waits longest goes."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Take a place, or that of the one who has sent no request for longest; without either, hang up."""
        self.since_s = self.loop.time()
        super().connection_made(transport)
        self._await_request()
        if len(self.connections) > CONNECTIONS_MAX:
            waiting = [c for c in self.connections if isinstance(c, Connection) and c is not self and not c.is_busy]
            leaving = min(waiting, key=lambda c: c.since_s, default=self)
            self.connections.discard(leaving)  # now: the loop takes several connections before it ends one
            leaving.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline with the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read; the clock runs from the first byte of a request and is not set back by the next."""
        # With each request: a clock of our own would tick while nobody asks.
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode()), *self.config.encoded_headers]
        super().data_received(data)
        if self.is_busy:
            self._stop_clock()
        elif self._deadline is None:
            self._await_request()

    def pause_writing(self) -> None:
        """The client does not read: give it some time."""
        super().pause_writing()
        self._start_clock(READER_TIMEOUT_S)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._stop_clock()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered; one whose body is still to come is not yet."""
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete and self.conn.their_state is not h11.SEND_BODY

    def _await_request(self) -> None:
        self._start_clock(REQUEST_TIMEOUT_S)

    def _start_clock(self, seconds: float) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
