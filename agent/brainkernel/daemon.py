"""Lifecycle only: start, tick, signals, reload, drain, release on exit. One thread, one epoll; nothing here thinks."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from brainkernel.clock import Clock

LOG = logging.getLogger(__name__)
NS_PER_S = 1_000_000_000
RELEASE_DEADLINE_S = 10.0  # systemd gives a service 90 s to stop; a person at a terminal does not
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
BEAT_S = 10.0  # how often the service manager hears of us, unless its watchdog wants it sooner


class Source(Protocol):
    """Something with a descriptor that becomes readable."""

    def fileno(self) -> int:
        """The descriptor to watch."""
        ...


class Watched(NamedTuple):
    """A descriptor, what to do when it is ready, and what ready means.

    A PSI trigger must be watched for EPOLLPRI alone: its file is readable at any time (kernel/sched/psi.c).
    """

    source: Source
    callback: Callable[[], None]
    events: int = select.EPOLLIN


class Work(Protocol):
    """What the daemon keeps alive: the agent without its lifecycle."""

    def sources(self) -> list[Watched]:
        """Every descriptor to watch."""
        ...

    def tick(self) -> None:
        """What is due once per sample interval."""
        ...

    def between(self) -> float:
        """What is due at each turn of the loop; returns in how many seconds it is due again at the latest."""
        ...

    def headline(self) -> str:
        """What it does now, in one line for `systemctl status`."""
        ...

    def reload(self) -> None:
        """Read the configuration again; keep the old one if the new one is not valid."""
        ...

    def pause(self) -> None:
        """Stop acting at once."""
        ...

    def release_all(self, deadline_s: float) -> bool:
        """End every limit; False if some could not be ended in time."""
        ...

    def close(self) -> None:
        """Write what is to be kept and let go of everything."""
        ...


class Daemon:
    """Runs until it is told to stop. Whatever ends it, an exception included, releases every limit."""

    def __init__(self, work: Work, clock: Clock, tick_interval_s: float, beat_interval_s: float = BEAT_S) -> None:
        self._work = work
        self._clock = clock
        self._tick_interval_ns = int(tick_interval_s * NS_PER_S)
        self._beat_interval_ns = int(beat_interval_s * NS_PER_S)
        self._stopping = False
        self._on_signal: dict[signal.Signals, Callable[[], None]] = {
            **dict.fromkeys(STOP_SIGNALS, self.stop),
            signal.SIGHUP: work.reload,
            signal.SIGUSR1: work.pause,
        }

    def stop(self) -> None:
        """End the run after the current turn of the loop."""
        self._stopping = True

    def run(self, seconds: float | None = None) -> bool:
        """Run for `seconds`, or until stopped; returns whether every limit was released."""
        try:
            with self._signals() as wakeup:
                self._loop(wakeup, None if seconds is None else self._clock.boot_ns() + int(seconds * NS_PER_S))
        finally:
            released = self._work.release_all(RELEASE_DEADLINE_S)
            self._work.close()
        return released

    def _loop(self, wakeup: socket.socket, end_ns: int | None) -> None:
        with select.epoll() as epoll:
            watched = [Watched(wakeup, lambda: self._take_signals(wakeup)), *self._work.sources()]
            callbacks = {w.source.fileno(): w.callback for w in watched}
            for w in watched:
                epoll.register(w.source.fileno(), w.events)
            tick_ns = beat_ns = self._clock.boot_ns()
            while not self._stopping:
                now_ns = self._clock.boot_ns()
                if end_ns is not None and now_ns >= end_ns:
                    return
                if now_ns >= tick_ns:
                    self._work.tick()
                    # Not tick_ns plus the interval: after a suspend, or a stall, the missed ticks are not made up for.
                    tick_ns = self._clock.boot_ns() + self._tick_interval_ns
                due_s = self._work.between()
                if now_ns >= beat_ns:
                    # From the loop itself, after a whole turn: a loop that hangs is silent.
                    notify_service_manager(f"WATCHDOG=1\nSTATUS={self._work.headline()}")
                    beat_ns = now_ns + self._beat_interval_ns
                until_ns = min(tick_ns, beat_ns, end_ns) if end_ns is not None else min(tick_ns, beat_ns)
                for fd, _events in epoll.poll(max(0.0, min(due_s, (until_ns - self._clock.boot_ns()) / NS_PER_S))):
                    callbacks[fd]()

    def _take_signals(self, wakeup: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in wakeup.recv(64):
                received = signal.Signals(number)
                LOG.info("received %s", received.name)
                self._on_signal[received]()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        # A signal becomes a byte on a socket and so ends the wait at once; the handler itself does nothing, since
        # it may run between any two lines. The second SIGINT finds the old handler again: it forces.
        receiver, sender = socket.socketpair()
        receiver.setblocking(False)
        sender.setblocking(False)
        old_fd = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        old_handlers = {number: signal.signal(number, _ignore) for number in self._on_signal}
        try:
            yield receiver
        finally:
            signal.set_wakeup_fd(old_fd)
            for number, handler in old_handlers.items():
                signal.signal(number, handler)
            receiver.close()
            sender.close()


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


def beat_interval_s(environment: Mapping[str, str]) -> float:
    """How often the service manager must hear of us: half of its watchdog's patience, as sd_watchdog_enabled(3) advises."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return BEAT_S  # the variables are our parent's
    patience_us = environment.get("WATCHDOG_USEC", "")
    return min(BEAT_S, int(patience_us) / 2e6) if patience_us.isdecimal() and int(patience_us) > 0 else BEAT_S


def notify_service_manager(state: str) -> None:
    """Tell systemd our state (sd_notify(3)); does nothing when we were not started by it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, contextlib.suppress(OSError):
        sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
