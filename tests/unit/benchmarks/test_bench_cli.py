"""The benchmark's command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from benchmarks import __main__ as command
from benchmarks.__main__ import EXTRA, GROUPS
from benchmarks.contenders.contender import ContenderError
from benchmarks.outcome import Outcome, Series

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

ROOT = Path(__file__).resolve().parents[3]


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
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


def test_group_that_cannot_be_measured_does_not_cost_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The table and the file have what was measured, the reason is said, and the exit code is that of a failure."""

    def fail(_wanted: frozenset[str], _bench: Bench) -> Iterator[Outcome]:
        msg = "ours: it ended with 1"
        raise ContenderError(msg)

    def succeed(_wanted: frozenset[str], _bench: Bench) -> Iterator[Outcome]:
        yield Outcome(row="second", figure="a figure", unit="us", ours=Series("ours", (1.0,)))

    groups = (SimpleNamespace(ROWS=("first",), measure=fail), SimpleNamespace(ROWS=("second",), measure=succeed))
    monkeypatch.setattr(command, "GROUPS", groups)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["bench", "--json", str(tmp_path / "out.json")])

    code = command.main()

    said = capsys.readouterr()
    assert code == 1
    assert "second" in said.out
    assert "not measured: first: ours: it ended with 1" in said.err
    assert [row["row"] for row in json.loads((tmp_path / "out.json").read_text())["rows"]] == ["second"]
