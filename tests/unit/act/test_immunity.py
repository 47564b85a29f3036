"""Who lives with the target, and shows or plays something to a person, is not capped with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from brainkernel.model import Action, Limit, Refusal
from support.act_stage import QUOTA, WEIGHT, Stage, a_decision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.model import ProcessKey

IDLE = Limit(cpu_weight=0)
LADDER = (WEIGHT, IDLE, QUOTA)
DISPLAY = "/run/user/1000/wayland-0"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def in_strong_pain(stage: Stage, key: ProcessKey, ladder: tuple[Limit, ...]) -> Action | Refusal:
    """A decision that begins at the strongest step that takes nothing which nobody else wants."""
    return stage.enforcer.apply(replace(a_decision(key, ladder[-2] if len(ladder) > 1 else ladder[0]), ladder=ladder))


def test_a_unit_that_shows_a_window_is_nudged_at_most(stage: Stage) -> None:
    """The worker hogs and the window is its parent's: idle would stop both, the weight may stand, and nothing goes beyond it."""
    stage.fake.spawn(501, "/system.slice/hog.service", ppid=500)
    stage.presents = {501: DISPLAY}

    action = in_strong_pain(stage, stage.hog, LADDER)
    refusal = stage.step(QUOTA)

    assert isinstance(action, Action)
    assert (action.step, action.limit) == (0, WEIGHT)
    assert refusal == Refusal(
        rule="immunity", reason="hog has /run/user/1000/wayland-0 open: a person sees or hears it, and cpu_quota=20% would cap it, too"
    )
    assert stage.unit.limits["CPUWeight"] == 20


def test_a_policy_of_caps_alone_is_refused_there(stage: Stage) -> None:
    """Nothing is written."""
    stage.presents = {500: DISPLAY}

    refusal = in_strong_pain(stage, stage.hog, (QUOTA,))

    assert isinstance(refusal, Refusal)
    assert refusal.rule == "immunity"
    assert stage.ledger.live == {}


def test_a_window_beside_a_job_in_a_session_does_not_protect_the_job(stage: Stage) -> None:
    """Only the family is taken out and limited; the sibling that shows something is not touched by it."""
    hog = stage.login()
    stage.presents = {920: DISPLAY}

    action = in_strong_pain(stage, hog, LADDER)

    assert isinstance(action, Action)
    assert action.limit == IDLE
