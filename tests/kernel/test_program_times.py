"""The time our BPF programs take, as the kernel counts it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel import metrics
from brainkernel.metrics import Figures
from brainkernel.sense.programtimes import ProgramTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.kernel import Witness

SWITCH = Path("/proc/sys/kernel/bpf_stats_enabled")


@pytest.fixture
def counting() -> Iterator[None]:
    before = SWITCH.read_text()
    try:
        SWITCH.write_text("1")
    except OSError as error:
        pytest.skip(f"{SWITCH} cannot be set: {error}")
    yield
    SWITCH.write_text(before)


@pytest.mark.usefixtures("counting")
def test_program_times_are_those_of_the_kernel(watch: Callable[..., Witness]) -> None:
    """Each exec runs the program for execs once; names are those of bpf/, times are some microseconds."""
    watch()
    figures = Figures()
    times = ProgramTimes(Path("/proc"), figures)
    times.read()
    before = figures.by_labels(metrics.BPF_RUNS)
    for _ in range(20):
        subprocess.run(["true"], check=True)

    times.read()

    runs, seconds = figures.by_labels(metrics.BPF_RUNS), figures.by_labels(metrics.BPF_SECONDS)
    (exec_program,) = [labels for labels in runs if "exec" in labels[0]]
    assert runs[exec_program] - before[exec_program] >= 20
    assert 0 < seconds[exec_program] / runs[exec_program] < 0.001
    assert all(name.isidentifier() for (name,) in runs)


def test_program_times_are_not_asked_for_while_nobody_counts(tmp_path: Path) -> None:
    """With the switch off, or without one, there is no figure, and no descriptor is looked at."""
    figures = Figures()
    ProgramTimes(tmp_path, figures).read()
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/bpf_stats_enabled").write_text("0\n")
    ProgramTimes(tmp_path, figures).read()

    assert figures.by_labels(metrics.BPF_RUNS) == {}
