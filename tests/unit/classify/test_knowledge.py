"""The shipped table of the distribution's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.classify.knowledge import SHIPPED_FILE, Knowledge
from brainkernel.errors import ConfigError
from brainkernel.model import Category
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

KNOWLEDGE = Knowledge()


@pytest.mark.parametrize(
    ("path", "package", "category"),
    [
        ("/usr/bin/mpv", "mpv", Category.INTERACTIVE),
        ("/usr/sbin/nginx", "nginx", Category.SERVICE),
        ("/usr/lib/gcc/x86_64-linux-gnu/14/collect2", None, Category.DEVELOPMENT),
        ("/usr/bin/ninja", "ninja-build", Category.DEVELOPMENT),
        ("/usr/bin/cat", "coreutils", Category.UNKNOWN),
        ("/usr/lib/firefox-esr/firefox-esr", "firefox-esr", None),
        ("/usr/local/bin/redis-server", None, None),
    ],
)
def test_program_is_found_by_its_path(path: str, package: str | None, category: Category | None) -> None:
    """Programs of the distribution, any version of them, and those below a package's directory are known."""
    known = KNOWLEDGE.find(path)

    assert known is not None
    assert package is None or known.package == package
    assert category is None or known.category is category


def test_package_has_section_and_summary() -> None:
    """An LLM is asked with them as evidence."""
    package = KNOWLEDGE.package_of("/usr/bin/rsync")

    assert package is not None
    assert (package.name, package.section) == ("rsync", "net")
    assert package.summary


@given(st.text(max_size=60))
def test_any_path_can_be_looked_up(path: str) -> None:
    """What a program calls itself cannot break the table."""
    KNOWLEDGE.find(path)
    KNOWLEDGE.find(f"/usr/bin/{path}")


@pytest.mark.parametrize(
    "path", ["/tmp/usr/bin/mpv", "/home/bob/usr/sbin/nginx", "/usr/bin/../../tmp/nginx", "usr/bin/mpv", "/usr/bin/mpv\n", ""]
)
def test_path_elsewhere_is_not_known(path: str) -> None:
    """A copy of a name is not the program."""
    assert KNOWLEDGE.find(path) is None


def test_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    """A broken installation says so in one line."""
    broken = tmp_path / "knowledge.bin"
    broken.write_bytes(b"something else entirely")

    with pytest.raises(ConfigError, match=r"knowledge\.bin.*scripts/train"):
        Knowledge(broken)


def test_table_is_small() -> None:
    """It is part of the package and mapped into a daemon that may use 45 MB."""
    assert SHIPPED_FILE.stat().st_size < 2_000_000
