"""The switch: whether anything may be limited now, and who or what says no."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.pausing import Switch

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_pauses_and_its_end_resumes(tmp_path: Path) -> None:
    """No daemon need be asked: `touch` is enough."""
    file = tmp_path / "paused"
    switch = Switch("enforce", file)
    assert switch.enforces

    file.touch()
    assert switch.look()
    assert (switch.enforces, switch.in_force) == (False, "paused")
    assert str(file) in switch.why_stopped
    assert not switch.look()  # nothing new

    file.unlink()
    assert switch.look()
    assert switch.enforces


def test_a_file_that_is_there_at_the_start_holds_from_the_first_moment(tmp_path: Path) -> None:
    """Nothing is limited in the time until the first look."""
    (tmp_path / "paused").touch()

    assert not Switch("enforce", tmp_path / "paused").enforces


def test_the_end_of_the_file_does_not_end_a_persons_pause(tmp_path: Path) -> None:
    """Each pause is ended by who made it."""
    file = tmp_path / "paused"
    file.touch()
    switch = Switch("enforce", file, paused=True)

    file.unlink()
    switch.look()

    assert not switch.enforces
    assert "resume" in switch.why_stopped


def test_a_link_that_leads_nowhere_pauses_as_well(tmp_path: Path) -> None:
    """Whatever has the name."""
    (tmp_path / "paused").symlink_to("nowhere")

    assert not Switch("enforce", tmp_path / "paused").enforces


def test_a_place_that_cannot_be_looked_at_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kill switch fails to the safe side."""
    switch = Switch("enforce", tmp_path / "paused")

    def broken(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.lstat", broken)
    switch.look()

    assert not switch.enforces


@pytest.mark.parametrize(("mode", "enforces"), [("enforce", True), ("observe", False)])
def test_without_any_pause_the_mode_decides(mode: str, *, enforces: bool) -> None:
    """And no file is looked for where none was named."""
    assert Switch(mode).enforces is enforces
