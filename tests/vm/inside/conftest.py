"""What every test in the VM stands on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.inside import deb, reboot
from vm.inside.sessions import allow_login
from vm.inside.traces import traces
from vm.inside.units import install_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

# The package is installed once, after all tests of the checkout; the last of these modules takes it away.
ORDER = ("test_deb_services", "test_deb_capabilities", "test_deb_loaders", "test_deb_story", "test_deb_goes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the package last, in the order of its life."""
    items.sort(key=lambda item: ORDER.index(name) if (name := item.path.stem) in ORDER else -1)


@pytest.fixture(scope="session", autouse=True)
def _prepared_system() -> None:
    install_programs()
    allow_login()


@pytest.fixture(scope="session")
def package() -> Iterator[deb.Installed]:
    """Install the package on a host that never saw the agent; purge it at the end, unless a reboot shall find it."""
    if reboot.is_wanted():
        with deb.checkout_hidden():
            yield deb.Installed(frozenset(reboot.kept()["traces"]))
        return
    deb.clean()
    with deb.checkout_hidden():
        found = deb.Installed(frozenset(traces()))
        deb.install()
        yield found
        if not reboot.is_wanted():
            deb.purge()
