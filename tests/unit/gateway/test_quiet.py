"""Quiet hours: read once, right over midnight, and never for what is critical."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from brainkernel.config import load
from brainkernel.errors import ConfigError
from brainkernel.gateway.notify.quiet import QuietHours
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

HOUR_S = 3600
NIGHT = QuietHours.of("22:00-07:00", UTC)


def at(hour: int, minute: int = 0) -> int:
    """A wall clock of some day, in ns."""
    return int(datetime(2026, 3, 3, hour, minute, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(("hour", "hours_left"), [(21, 0), (22, 9), (23, 8), (0, 7), (6, 1), (7, 0), (12, 0)], ids=str)
def test_quiet_hours_last_over_midnight(hour: int, hours_left: int) -> None:
    """From ten in the evening to seven in the morning."""
    assert NIGHT.left_s(at(hour)) == hours_left * HOUR_S


def test_quiet_hours_are_the_hosts() -> None:
    """An operator writes what the clock on the wall says."""
    tokyo = QuietHours.of("22:00-07:00", timezone(timedelta(hours=9)))

    assert tokyo.left_s(at(13)) == 9 * HOUR_S
    assert tokyo.left_s(at(22)) == 0


@given(st.integers(0, 2**62))
def test_no_quiet_hours_are_never_quiet(wall_ns: int) -> None:
    """The default."""
    assert QuietHours.of("").left_s(wall_ns) == 0


@given(st.integers(0, 4 * 10**18), st.integers(0, 86_399), st.integers(0, 86_399))
def test_quiet_hours_left_never_exceed_their_length(wall_ns: int, begin_s: int, end_s: int) -> None:
    """Whatever the time of day."""
    assert 0 <= QuietHours(begin_s, end_s, UTC).left_s(wall_ns) <= (end_s - begin_s) % 86_400


@pytest.mark.parametrize("text", ["22-7", "25:00-07:00", "22:00-07:60", "22:00", "night"])
def test_quiet_hours_that_are_no_times_are_refused_with_the_key(tmp_path: Path, text: str) -> None:
    """At start and at reload."""
    file = tmp_path / "brainkernel.toml"
    file.write_text(f'[notify]\nquiet_hours = "{text}"\n')

    with pytest.raises(ConfigError, match="quiet_hours"):
        load(file)
