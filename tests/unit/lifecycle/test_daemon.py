"""The daemon's lifecycle: whatever ends it, every limit is released."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from brainkernel.clock import SimulatedClock, SystemClock
from brainkernel.daemon import Daemon, Watched, beat_interval_s

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass
class Work:
    """Notes what the daemon calls; `at_tick` happens at each tick."""

    at_tick: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)
    ready: int = field(default_factory=lambda: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
    releases: bool = True

    def fileno(self) -> int:
        return self.ready

    def sources(self) -> list[Watched]:
        return [Watched(self, self.on_ready)]

    def on_ready(self) -> None:
        os.eventfd_read(self.ready)
        self.calls.append("ready")

    def tick(self) -> None:
        self.calls.append("tick")
        self.at_tick()

    def between(self) -> float:
        return 10.0

    def headline(self) -> str:
        return "at work"

    def reload(self) -> None:
        self.calls.append("reload")

    def pause(self) -> None:
        self.calls.append("pause")

    def release_all(self, deadline_s: float) -> bool:
        assert deadline_s > 0
        self.calls.append("release_all")
        return self.releases

    def close(self) -> None:
        self.calls.append("close")
        os.close(self.ready)


def a_daemon(work: Work, tick_interval_s: float = 10.0) -> Daemon:
    return Daemon(work, SystemClock(), tick_interval_s)


def test_daemon_releases_and_closes_when_its_time_is_over() -> None:
    """A bounded run ends by itself, in this order."""
    work = Work()

    released = a_daemon(work).run(seconds=0.05)

    assert released
    assert work.calls == ["tick", "release_all", "close"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_daemon_stops_at_once_on_a_signal(number: signal.Signals) -> None:
    """The wait of ten seconds ends with the signal, and the old handlers are back afterwards."""
    before = signal.getsignal(number)
    work = Work(at_tick=lambda: signal.raise_signal(number))

    a_daemon(work).run(seconds=60)

    assert work.calls == ["tick", "release_all", "close"]
    assert signal.getsignal(number) is before


def test_daemon_reloads_and_pauses_on_their_signals() -> None:
    """SIGHUP and SIGUSR1 do not end the run."""
    work = Work()

    def raise_both() -> None:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGUSR1)

    work.at_tick = raise_both
    a_daemon(work).run(seconds=0.2)

    assert {"reload", "pause"} <= set(work.calls)
    assert work.calls[-2:] == ["release_all", "close"]


class Dozing(Work):
    """Sleeps for eight hours in its first tick, and stops after some short turns."""

    clock: SimulatedClock
    daemon: Daemon
    turns = 0

    def tick(self) -> None:
        super().tick()
        if self.calls.count("tick") == 1:
            self.clock.now_boot_ns += 8 * 3600 * 10**9

    def between(self) -> float:
        self.clock.now_boot_ns += 10**8
        self.turns += 1
        if self.turns == 5:
            self.daemon.stop()
        return 0.0


def test_daemon_makes_up_for_no_ticks_after_a_suspend() -> None:
    """Eight hours asleep are no burst of work: the next tick is due an interval after waking."""
    work = Dozing()
    work.clock = SimulatedClock(now_boot_ns=10**12)
    work.daemon = Daemon(work, work.clock, tick_interval_s=1.0)

    work.daemon.run()

    assert (work.turns, work.calls.count("tick")) == (5, 1)


def test_daemon_releases_when_its_work_breaks() -> None:
    """An error of ours is shown, but not before every limit is gone."""

    def breaks() -> None:
        msg = "a defect"
        raise RuntimeError(msg)

    work = Work(at_tick=breaks)

    with pytest.raises(RuntimeError, match="a defect"):
        a_daemon(work).run(seconds=60)

    assert work.calls == ["tick", "release_all", "close"]


def test_daemon_calls_back_for_a_ready_descriptor() -> None:
    """What is readable is handled between two ticks."""
    work = Work()
    work.at_tick = lambda: os.eventfd_write(work.ready, 1)

    a_daemon(work).run(seconds=0.05)

    assert "ready" in work.calls


def test_daemon_says_when_a_limit_could_not_be_released() -> None:
    """The caller is told, since a person must look."""
    assert not a_daemon(Work(releases=False)).run(seconds=0.01)


def test_daemon_tells_the_service_manager_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once and then at each beat, out of the loop itself, with one line for `systemctl status`."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))

        Daemon(Work(), SystemClock(), tick_interval_s=10.0, beat_interval_s=0.05).run(seconds=0.3)

        assert [manager.recv(100) for _ in range(2)] == [b"WATCHDOG=1\nSTATUS=at work"] * 2


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 10.0),
        ({"WATCHDOG_USEC": "6000000"}, 3.0),
        ({"WATCHDOG_USEC": "60000000"}, 10.0),
        ({"WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "1"}, 10.0),
        ({"WATCHDOG_USEC": "soon"}, 10.0),
    ],
)
def test_beat_comes_twice_within_the_watchdogs_patience(environment: dict[str, str], expected: float) -> None:
    """Half of WATCHDOG_USEC if that was meant for this process, and never rarer than the status line wants."""
    assert beat_interval_s(environment) == expected
