"""The benchmark as a person runs it, with the cheapest of its rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support.kernel import require_kernel

ROOT = Path(__file__).resolve().parents[2]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    """Run it as scripts/bench does, without installing anything."""
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "tests")}, capture_output=True, text=True, check=False
    )


def test_bench_measures_a_row_and_writes_every_figure(tmp_path: Path) -> None:
    """The table is for people, the file for programs; both are of the same run."""
    require_kernel()
    file = tmp_path / "bench.json"

    done = bench("--only", "snapshot", "--runs", "2", "--json", str(file))

    document = json.loads(file.read_text())
    (row,) = document["rows"]
    assert done.returncode == int(row["met"] is False), done.stderr
    assert len(row["ours"]["runs"]) == len(row["peers"]["psutil"]["runs"]) == 2
    assert row["targets"][0]["target"] == "<= 0.1 x psutil"
    assert document["machine"]["kernel"] == os.uname().release
    assert any(line.startswith("snapshot ") and "psutil" in line for line in done.stdout.splitlines())
    assert "snapshot 2 of 2" in done.stderr
