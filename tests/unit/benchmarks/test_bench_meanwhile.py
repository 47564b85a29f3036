"""What the benchmark does while a load runs."""

from __future__ import annotations

import threading
import time

import pytest
from benchmarks.meanwhile import Meanwhile


def test_meanwhile_it_is_done_again_and_again_until_the_end_of_the_block() -> None:
    """And not once more after it."""
    times: list[int] = []
    enough = threading.Event()

    def do() -> None:
        times.append(len(times))
        if len(times) == 3:
            enough.set()

    with Meanwhile(0.001, do):
        assert enough.wait(10)
    done = len(times)
    time.sleep(0.02)

    assert done >= 3
    assert len(times) == done


def test_what_fails_meanwhile_fails_the_row() -> None:
    """An agent that did not answer is no agent that answered at once."""
    failed = threading.Event()

    def do() -> None:
        failed.set()
        raise TimeoutError

    with pytest.raises(TimeoutError), Meanwhile(0.001, do):
        assert failed.wait(10)
