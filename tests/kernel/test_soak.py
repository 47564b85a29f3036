"""A short soak: half a minute in which the agent lives a day. `scripts/soak` lives a week in ten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from soak.__main__ import soak
from soak.growth import MIB, grown
from support.kernel import require_kernel

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kernel
MINUTES, DAYS = 0.5, 1.0
# Half a minute is too short to see a trend in these: they are held by bounds.
STILL_FILLING = {"resident_bytes", "disk_bytes"}
RESIDENT_MAX_BYTES, DISK_MAX_BYTES = 128 * MIB, 160 * MIB


def test_soak_leaks_no_descriptor_thread_or_map_entry(tmp_path: Path) -> None:
    """With programs that nobody has met, command lines that never repeat, and a clock that hurries through a day."""
    require_kernel()

    samples = soak(MINUTES, DAYS, tmp_path)

    assert grown(samples).keys() <= STILL_FILLING
    assert samples[-1].resident_bytes < RESIDENT_MAX_BYTES
    assert max(sample.disk_bytes for sample in samples) < DISK_MAX_BYTES
