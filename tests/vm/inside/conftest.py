"""What every test in the VM stands on."""

from __future__ import annotations

import pytest

from vm.inside.sessions import allow_login
from vm.inside.units import install_programs


@pytest.fixture(scope="session", autouse=True)
def _prepared_system() -> None:
    install_programs()
    allow_login()
