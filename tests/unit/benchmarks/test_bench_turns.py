"""Contenders that are measured in turns, with real processes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from benchmarks.bench import Bench
from benchmarks.contenders.contender import Contender, ContenderError, Running
from benchmarks.rows.side_by_side import BARE, Turns

if TYPE_CHECKING:
    from pathlib import Path

WAITS = [sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(60)"]
FAILS = [sys.executable, "-c", "import sys; sys.exit('no tracepoint here')"]
PATIENT = Contender("patient", lambda _bench: WAITS)


def test_contenders_and_the_load_alone_take_turns(tmp_path: Path) -> None:
    """What disturbs the machine for a while meets all of them, not the last one."""
    order = []
    turns: Turns[float] = Turns()

    def read(running: Running) -> float:
        order.append("patient")
        return float(running.lines_with(b"ready"))

    def alone() -> float:
        order.append(BARE)
        return 0

    turns.take(Bench(directory=tmp_path, runs=2), [PATIENT], read, alone)

    assert order == [BARE, "patient", BARE, "patient"]
    assert turns.ours("patient", float).values == (1, 1)


def test_a_contender_that_ends_at_once_is_skipped_with_its_last_words(tmp_path: Path) -> None:
    """The table says why there is no figure, and the others still have theirs."""
    turns: Turns[int] = Turns()

    turns.take(Bench(directory=tmp_path, runs=1), [Contender("broken", lambda _bench: FAILS), PATIENT], lambda running: running.pid)

    assert turns.skipped == {"broken": "it ended with 1: no tracepoint here"}
    assert turns.series("broken", float) is None
    assert turns.series("patient", float) is not None


def test_a_contender_that_is_not_installed_is_not_started(tmp_path: Path) -> None:
    """Its reason is what to install."""
    turns: Turns[int] = Turns()

    def start(_bench: Bench) -> list[str]:
        raise AssertionError

    turns.take(Bench(directory=tmp_path, runs=1), [Contender("absent", start, lambda: "apt-get install it")], lambda running: running.pid)

    assert turns.skipped == {"absent": "apt-get install it"}


def test_without_ours_there_is_no_table(tmp_path: Path) -> None:
    """Peers alone are not what was asked for: the run ends with the reason."""
    turns: Turns[int] = Turns()
    turns.take(Bench(directory=tmp_path, runs=1), [Contender("ours", lambda _bench: FAILS)], lambda running: running.pid)

    with pytest.raises(ContenderError, match="no tracepoint here"):
        turns.ours("ours", float)


def test_a_contender_is_ended_when_its_turn_is_over(tmp_path: Path) -> None:
    """Nothing of one turn runs on into the next."""
    with PATIENT.running(Bench(directory=tmp_path)) as running:
        assert running.process.poll() is None

    assert running.process.poll() is not None
