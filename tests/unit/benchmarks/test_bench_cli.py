"""The benchmark's command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import EXTRA, GROUPS

ROOT = Path(__file__).resolve().parents[3]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "tests")}, capture_output=True, text=True, check=False
    )


def test_help_has_examples_and_names_every_row() -> None:
    """One look tells what can be measured."""
    said = bench("--help").stdout

    assert "examples:" in said
    assert [row for group in GROUPS for row in group.ROWS if row not in said] == []


@pytest.mark.parametrize(
    "words", [("--only", "nothing"), ("--runs", "0"), ("--runs", "many"), ("--rates", "100,fast"), ("--rates", ""), ("--spawns", "-1")]
)
def test_wrong_words_end_with_2_and_measure_nothing(words: tuple[str, ...]) -> None:
    """A mistake costs a second, not twenty minutes."""
    done = bench(*words)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_row_names_are_unique() -> None:
    """`--only` means one row."""
    names = [name for group in (*GROUPS, *EXTRA) for name in group.ROWS]

    assert len(names) == len(set(names))
