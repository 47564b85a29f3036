"""What the benchmark reads of processes that come and go."""

from __future__ import annotations

import os
import threading

from benchmarks import processes
from benchmarks.meanwhile import Meanwhile


def test_family_is_read_while_its_threads_end() -> None:
    """Threads of a measured process end all the time; its figure is that of those that live."""

    def thread() -> None:
        threading.Thread(target=lambda: None).start()

    with Meanwhile(0.0, thread):
        families = [processes.family_of(os.getpid()) for _ in range(2_000)]

    assert all(family[0] == os.getpid() for family in families)
