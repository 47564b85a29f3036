"""Skipping with a reason and a remedy, and not at all where everything must be there (CI sets the variable)."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test because `what` is missing here; fail it instead if REQUIRE_TOOLS=1."""
    if os.environ.get("REQUIRE_TOOLS") == "1":
        pytest.fail(f"{what} is missing, and REQUIRE_TOOLS=1: {remedy}")
    pytest.skip(f"{what} is missing: {remedy} (REQUIRE_TOOLS=1 makes this a failure)")
