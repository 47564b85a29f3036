"""Packs what a run needs onto one disk: the checkout, the Python packages it runs with, and pytest's arguments."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vm.image import disk_of_tree
from vm.progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
PARTS = ("agent", "bpf", "packaging", "tests", "pyproject.toml")
NEVER_IMPORTED_THERE = ("__pycache__", "pip", "setuptools", "mypy", "mypyc", "ruff", "xllamacpp*", "atheris*")
SLACK_MIB = 64

# Run by the checkout's own .venv: what the agent and pytest need that the .venv borrows from this host's system.
_BORROWED = """
import importlib.metadata as md, sys
from packaging.requirements import Requirement
wanted, seen = [Requirement("brainkernel-agent"), Requirement("pytest")], {}
while wanted:
    requirement = wanted.pop()
    if requirement.name.lower() in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
        continue
    found = seen[requirement.name.lower()] = md.distribution(requirement.name)
    wanted += map(Requirement, found.requires or ())
for found in seen.values():
    if not str(found.locate_file("")).startswith(sys.prefix) and found.metadata["Name"] != "brainkernel-agent":
        print(f"{found.metadata['Name']}=={found.version}")
"""


def write_payload(scratch: Path, cache: Path, *, arguments: Sequence[str], end_of_run: str) -> Path:
    """Make the payload disk of one run in `scratch`. It may be written to in the VM: it is of this run alone."""
    say("packing the checkout and its Python packages")
    tree = scratch / "payload"
    tree.mkdir()
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
        elif source.is_file():
            shutil.copy(source, tree / part)
    _copy_deb(tree / "deb")
    _copy_packages(tree / "site-packages", cache)
    # Under emulation each import of a module without bytecode costs what it costs here times ten.
    subprocess.run(
        ["/usr/bin/python3", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", tree],
        check=False,  # a package may carry a file for another Python
        stdout=subprocess.DEVNULL,
    )
    (tree / "arguments").write_text("".join(f"{argument}\n" for argument in arguments))
    (tree / "end-of-run").write_text(end_of_run)
    disk = scratch / "payload.img"
    disk_of_tree(tree, disk, size_mib=_size_mib(tree) * 5 // 4 + SLACK_MIB, label="payload")
    shutil.rmtree(tree)
    return disk


# The newest one. There is none where nobody has built it, and then the tests of the package say so.
def _copy_deb(into: Path) -> None:
    into.mkdir()
    built = sorted((CHECKOUT / "dist").glob("*_amd64.deb"), key=lambda file: file.stat().st_mtime_ns)
    for deb in built[-1:]:
        shutil.copy(deb, into)


def _copy_packages(into: Path, cache: Path) -> None:
    venv = CHECKOUT / ".venv"
    ignored = shutil.ignore_patterns(*NEVER_IMPORTED_THERE)
    for site in venv.glob("lib/python3*/site-packages"):
        shutil.copytree(site, into, ignore=ignored, dirs_exist_ok=True)
    borrowed = subprocess.run([venv / "bin/python", "-c", _BORROWED], check=True, capture_output=True, text=True).stdout.split()
    if borrowed:
        shutil.copytree(_fetched(sorted(borrowed), venv, cache), into, dirs_exist_ok=True)


def _fetched(borrowed: Sequence[str], venv: Path, cache: Path) -> Path:
    key = hashlib.sha256(f"{sys.version_info[:2]}{borrowed}".encode()).hexdigest()[:12]
    home = cache / f"packages-{key}"
    if not home.is_dir():
        say(f"fetching what .venv takes from this host's system: {' '.join(borrowed)}")
        made = home.with_suffix(".making")
        shutil.rmtree(made, ignore_errors=True)
        pip = [str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--ignore-installed"]
        subprocess.run([*pip, "--target", str(made), *borrowed], check=True)
        made.rename(home)
    return home


def _size_mib(tree: Path) -> int:
    used = subprocess.run(["du", "-sm", tree], check=True, capture_output=True, text=True).stdout
    return int(used.split()[0])
