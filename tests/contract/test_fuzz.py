"""A short run of the fuzzer (scripts/fuzz runs it longer): no end of a socket breaks its promises."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.hostile import CONVERSATIONS
from support.required import missing

FUZZ = Path(__file__).parents[1] / "fuzz/fuzz.py"
RUNS = 3000


@pytest.mark.parametrize("end", CONVERSATIONS)
def test_fuzz_breaks_no_promise(end: str, tmp_path: Path) -> None:
    """Atheris writes what it finds interesting: always the same from the same seed."""
    if importlib.util.find_spec("atheris") is None:
        missing("atheris", "pip install atheris (it has wheels for x86_64 and Python 3.11 to 3.13)")

    done = subprocess.run(
        [sys.executable, FUZZ, end, f"-runs={RUNS}", "-seed=1"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-3000:]
    ended = re.search(r"Done (\d+) runs", done.stderr)
    assert ended is not None
    assert int(ended[1]) >= RUNS  # libFuzzer ends the series of mutations that it is in
