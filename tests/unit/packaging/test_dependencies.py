"""What pyproject.toml asks for is in the package: bundled, or a dependency on Debian's, in no older a version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
DEB = ROOT / "packaging/deb"
DEBIAN_NAME_OF = {"pyyaml": "yaml"}
# Asked for by pyproject.toml, and imported by nothing that the package runs.
NOT_NEEDED = {"pyroute2"}


def bundled() -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (DEB / "bundled.txt").read_text(), re.MULTILINE))


def depends() -> dict[str, str]:
    control = (DEB / "debian/control").read_text()
    return dict(re.findall(r"^ python3-([\w.-]+)(?: \(>= ([\d.]+)\))?,$", control, re.MULTILINE))


def project() -> list[Requirement]:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in (*declared["dependencies"], *declared["optional-dependencies"]["top"])]


def test_every_dependency_is_bundled_or_debians() -> None:
    """In a version that satisfies pyproject.toml's floor."""
    wrong = []
    for wanted in project():
        name = wanted.name.lower()
        version = bundled().get(name) or depends().get(DEBIAN_NAME_OF.get(name, name))
        if name not in NOT_NEEDED and (not version or not wanted.specifier.contains(version)):
            wrong.append(f"{wanted} (in the package: {version})")

    assert wrong == []


def test_every_bundled_package_is_in_the_copyright_file() -> None:
    """With its licence: whoever adds one says so."""
    listed = set(re.findall(r"(?<=\s)([a-z0-9_]+)(?:/\*|\.py)(?=\s)", (DEB / "debian/copyright").read_text()))

    assert {re.sub(r"_py$", "", name.replace("-", "_")) for name in bundled()} - listed == set()


def test_what_is_left_out_is_imported_nowhere() -> None:
    """As soon as it is, it belongs into the package."""
    sources = "\n".join(file.read_text() for file in (ROOT / "agent").rglob("*.py"))

    assert [name for name in NOT_NEEDED if re.search(rf"^\s*(?:import|from) {name}\b", sources, re.MULTILINE)] == []
