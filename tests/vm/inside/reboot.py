"""What the tests before a reboot leave for those after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path("/var/lib/vm-tests")


def want_reboot(**kept: Any) -> None:
    """Ask `enter` for a reboot when this boot's tests are over; `kept` is there in the next one."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "kept.json").write_text(json.dumps(kept))
    (FOLDER / "reboot-wanted").touch()


def is_wanted() -> bool:
    """Whether this boot ends with a reboot, so that nothing is to be cleaned up at its end."""
    return (FOLDER / "reboot-wanted").exists()


def kept() -> dict[str, Any]:
    """What the boot before this one left."""
    found: dict[str, Any] = json.loads((FOLDER / "kept.json").read_text())
    return found
