from __future__ import annotations

from pathlib import Path

import pytest
from brainkernel.sense.pressure import PressureTrigger, read_cpu_some_us, some_total_us_of


@pytest.mark.parametrize(
    ("text", "total_us"),
    [
        ("some avg10=0.31 avg60=0.83 avg300=0.56 total=10644561\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", 10644561),
        ("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0),
        ("full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", None),
        ("", None),
    ],
)
def test_some_total_is_read_out_of_a_psi_file(text: str, total_us: int | None) -> None:
    """The line of `some`, never that of `full`."""
    assert some_total_us_of(text) == total_us


def test_pressure_without_psi_is_none(tmp_path: Path) -> None:
    """A kernel without CONFIG_PSI is no error."""
    assert read_cpu_some_us(tmp_path) is None
    assert PressureTrigger.open(tmp_path / "pressure/cpu") is None


def test_trigger_that_the_kernel_does_not_take_is_none() -> None:
    """Refused is no error either, and leaves no descriptor behind."""
    before = len(list(Path("/proc/self/fd").iterdir()))

    assert PressureTrigger.open(Path("/proc/pressure/cpu"), stall_us=10**9) is None

    assert len(list(Path("/proc/self/fd").iterdir())) == before
