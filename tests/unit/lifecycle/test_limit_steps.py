"""The steps of a ladder as an operator writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.config import limit_of, load
from brainkernel.errors import ConfigError
from brainkernel.model import Limit
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("cpu_weight=20", Limit(cpu_weight=20)),
        ("idle", Limit(cpu_weight=0)),
        ("cpu_quota=12.5%", Limit(cpu_quota_pct=12.5)),
        ("io_weight=10", Limit(io_weight=10)),
        ("memory_high=512M", Limit(memory_high_bytes=512 * MIB)),
        ("memory_high=2G", Limit(memory_high_bytes=2048 * MIB)),
        (" idle  io_weight=1 ", Limit(cpu_weight=0, io_weight=1)),
        ("cpu_quota=50% memory_high=64M", Limit(cpu_quota_pct=50, memory_high_bytes=64 * MIB)),
    ],
)
def test_a_step_is_one_or_several_knobs(text: str, limit: Limit) -> None:
    """In any order, with spaces between."""
    assert limit_of(text) == limit


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "limits nothing"),
        ("cpu_weight=0", "must be 1 to 10000"),
        ("io_weight=10001", "must be 1 to 10000"),
        ("cpu_quota=0.5%", "1 % or more"),
        ("memory_high=15M", "16M or more"),
        ("memory_high=1000000", "is not a limit"),
        ("idle cpu_weight=20", "sets cpu_weight twice"),
        ("cpu_quota=20", "is not a limit"),
        ("nice=5", "is not a limit"),
    ],
)
def test_a_wrong_step_is_refused_with_what_is_wrong(text: str, complaint: str) -> None:
    """Before it is loaded."""
    with pytest.raises(ValueError, match=complaint):
        limit_of(text)


knobs = st.builds(
    Limit,
    cpu_weight=st.none() | st.integers(0, 10_000),
    cpu_quota_pct=st.none() | st.integers(1, 6400).map(float),
    io_weight=st.none() | st.integers(1, 10_000),
    memory_high_bytes=st.none() | st.integers(16, 1_000_000).map(lambda mebibytes: mebibytes * MIB),
).filter(lambda limit: limit != Limit())


@given(knobs)
def test_a_limit_is_shown_as_it_is_written(limit: Limit) -> None:
    """What `list` shows can be put into a policy."""
    assert limit_of(str(limit)) == limit


@pytest.mark.parametrize("step", ["idle", "cpu_quota=50%", "memory_high=512M", "cpu_weight=20 memory_high=1G"])
def test_what_a_person_works_with_cannot_be_capped_by_any_policy(tmp_path: Path, step: str) -> None:
    """The configuration itself refuses it, and names the line."""
    file = tmp_path / "brainkernel.toml"
    file.write_text(f'[policy.interactive]\nlimits = ["{step}"]\n')

    with pytest.raises(ConfigError, match=r"brainkernel.toml:2: policy.interactive.limits: .*only cpu_weight and io_weight"):
        load(file)
