"""The unit files: each line is there for a reason, and the reason is beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
UNITS = sorted((ROOT / "packaging/deb/debian").glob("*.service"))
# What says by its name alone what it does.
_PLAIN = ("Description=", "Documentation=", "ExecStart=", "WantedBy=")


def unexplained(text: str) -> list[str]:
    """Every directive without a comment above it in its paragraph."""
    found, explained = [], False
    for line in text.splitlines():
        if not line or line.startswith("["):
            explained = False
        elif line.startswith("#"):
            explained = True
        elif not explained and not line.startswith(_PLAIN):
            found.append(line)
    return found


def test_there_are_two_units() -> None:
    """Daemon and gateway; else the tests below would hold for nothing."""
    assert [unit.name.split(".")[1] for unit in UNITS] == ["brainkernel-gateway", "brainkernel"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_line_of_a_unit_has_its_reason(unit: Path) -> None:
    """In a comment of the same paragraph."""
    assert unexplained(unit.read_text()) == []


@pytest.mark.parametrize("drop_in", sorted((ROOT / "packaging/loaders").glob("*.conf")), ids=lambda file: file.name)
def test_every_line_of_a_drop_in_has_its_reason(drop_in: Path) -> None:
    """What opens a unit again is explained no less."""
    assert unexplained(drop_in.read_text()) == []
