from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.sense.core import CoreLoader, CoreOptions
from support.kernel import Witness, require_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/kernel/" in item.path.as_posix():
            item.add_marker(pytest.mark.kernel)


@pytest.fixture
def watch() -> Iterator[Callable[..., Witness]]:
    """Opens core loaders; this test's own processes are not excluded unless it asks."""
    require_kernel()
    opened: list[CoreLoader] = []

    def open_loader(**options: Any) -> Witness:
        loader = CoreLoader(CoreOptions(**({"own_tgids": ()} | options)))
        opened.append(loader)
        loader.open()
        return Witness(loader)

    yield open_loader

    for loader in opened:
        loader.close()


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """A folder that every user may enter, on a real file system, outside the folders that earn a mark."""
    folder = Path(tempfile.mkdtemp(prefix="brainkernel-test-", dir="/var/lib"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def program(public_dir: Path) -> Path:
    """A program that nobody on this host has run before."""
    return Path(shutil.copy("/bin/true", public_dir / "newcomer"))
