"""The language model of known error rates: a gateway at the other end of the agent's real socket, on the simulated clock."""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from typing import TYPE_CHECKING

from brainkernel.link.frames import FrameBuffer, decode, frame_of
from brainkernel.link.messages import Answers, Ask, FromDaemon, Hello, ProposedVerdict, Usage

from benchmarks.feedback.week import NORMAL_MS, SLOW, SLOW_MS, S, is_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.clock import SimulatedClock
    from brainkernel.model import Category

BACKEND, MODEL = "simulated", "known-errors-1"
_FROM_DAEMON: type[FromDaemon] = FromDaemon  # type: ignore[assignment]


class SimulatedGateway:
    """Answers each question after the model's time; `opinion` is what it says that a program is."""

    def __init__(self, path: Path, clock: SimulatedClock, opinion: Callable[[str], Category]) -> None:
        self._clock = clock
        self._opinion = opinion
        self._due: deque[tuple[int, Ask]] = deque()
        self._buffer = FrameBuffer()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.setblocking(False)
        self._socket.sendall(frame_of(Hello(BACKEND, MODEL, "the week is simulated")))
        self.asked = 0

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._due)

    def serve(self) -> None:
        """Read what was asked, and answer what is due."""
        now_ns = self._clock.boot_ns()
        with contextlib.suppress(BlockingIOError):
            while select.select([self._socket], [], [], 0)[0]:
                for body in self._buffer.feed(self._socket.recv(1 << 16)):
                    message = decode(body, _FROM_DAEMON)
                    if isinstance(message, Ask):
                        late_ms = SLOW_MS if is_in(now_ns // S, SLOW) else NORMAL_MS
                        self._due.append((now_ns + late_ms * 1_000_000, message))
        while self._due and self._due[0][0] <= now_ns:
            due_ns, ask = self._due.popleft()
            self.asked += len(ask.questions)
            verdicts = tuple(ProposedVerdict(self._opinion(q.exe), 0.9, "by its name") for q in ask.questions)
            late_ms = SLOW_MS if is_in(due_ns // S, SLOW) else NORMAL_MS
            self._socket.sendall(frame_of(Answers(ask.id, verdicts, "", Usage(BACKEND, MODEL, late_ms * 1_000_000))))

    def close(self) -> None:
        """Go away."""
        self._socket.close()
