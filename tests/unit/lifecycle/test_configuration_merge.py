"""What a file does not say stays as it is by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.config import Config, load
from brainkernel.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_one_key_of_a_category_leaves_its_others(tmp_path: Path) -> None:
    """To ask for approval is not to take the limits away, nor the higher confidence that development needs."""
    file = tmp_path / "brainkernel.toml"
    file.write_text("[policy.background]\napproval = true\n[policy.development]\napproval = true\n")

    policy = load(file).policy

    assert policy.background.approval
    assert policy.background.limits == Config().policy.background.limits
    assert policy.development.min_confidence == Config().policy.development.min_confidence


def test_an_empty_ladder_is_said_with_an_empty_list(tmp_path: Path) -> None:
    """And a file in conf.d goes over the main one, key by key."""
    file = tmp_path / "brainkernel.toml"
    file.write_text("[policy.background]\nmin_confidence = 0.9\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text("[policy.background]\nlimits = []\n")

    policy = load(file).policy

    assert (policy.background.limits, policy.background.min_confidence) == ((), 0.9)
    assert policy.bloatware == Config().policy.bloatware


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    """All of them."""
    file = tmp_path / "brainkernel.toml"
    file.write_text("")

    assert load(file) == Config()


@pytest.mark.parametrize("value", ["inf", "nan", "1e300", "0", "-1"])
@pytest.mark.parametrize(
    "key",
    [
        "agent.sample_interval_s",
        "gate.debounce_s",
        "symptoms.window_s",
        "policy.step_after_s",
        "policy.lease_s",
        "llm.cache_days",
        "approvals.timeout_s",
        "versions.canary_hours",
    ],
)
def test_a_time_that_no_clock_can_hold_is_refused(tmp_path: Path, key: str, value: str) -> None:
    """TOML knows infinity; the agent would fall over it at its first limit."""
    file = tmp_path / "brainkernel.toml"
    file.write_text(f"{key} = {value}\n")

    with pytest.raises(ConfigError, match=rf"brainkernel\.toml:1: {key}: Expected `float`"):
        load(file)
