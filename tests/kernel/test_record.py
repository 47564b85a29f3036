"""`brainkernel record` on this host's kernel."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.kernel import require_kernel, wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_record_that_is_told_to_end_keeps_what_it_saw(tmp_path: Path, number: signal.Signals) -> None:
    """By Ctrl-C, by `timeout`, by a terminal that is closed: the recording is whole, in its place, and nothing is beside it."""
    require_kernel()
    output = tmp_path / "day.jsonl"
    command = [sys.executable, "-m", "brainkernel", "record", "--output", str(output)]

    def seen() -> bool:
        subprocess.run(["/bin/true"], check=True)
        return any(b"/true" in file.read_bytes() for file in tmp_path.iterdir())

    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recorder:
        wait_until("a start in the file", seen)
        recorder.send_signal(number)

    assert recorder.returncode == 0
    assert list(tmp_path.iterdir()) == [output]
    assert "exec" in {json.loads(line)["kind"] for line in output.read_text().splitlines()}
