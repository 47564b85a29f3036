"""Which labelled records training never sees, as the training script itself says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_SCRIPTS = Path(__file__).parents[2] / "scripts" / "model"


def is_held_out(record: dict[str, Any]) -> bool:
    if str(_SCRIPTS) not in sys.path:
        sys.path.append(str(_SCRIPTS))
    import examples  # type: ignore[import-not-found] # noqa: PLC0415 # a script, not a package

    return bool(examples.is_held_out(record))
