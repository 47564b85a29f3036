"""The Python packages that Debian 12 lacks or has too old: which versions, where from, and how they get into the package.

usage: bundled.py lock   > bundled.txt            resolve anew and print the lock (needs a package index)
       bundled.py fetch  --machine x86_64 DIR     download what the lock names, by hash, for every Python
       bundled.py unpack DIR TARGET               one tree for all of them

Compiled modules carry the Python version in their name (`_core.cpython-311-x86_64-linux-gnu.so`), and everything
else in those wheels is the same for each, so one tree serves Debian 12 (3.11), Ubuntu 24.04 (3.12) and Debian 13
(3.13). That the rest is the same is checked here, not believed.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "bundled.txt"
# What pyproject.toml asks for and bookworm has not, or below our floor. The rest are Depends.
WANTED = (
    "apprise>=1.8", "groq>=0.30", "msgspec>=0.18.6", "ollama>=0.6", "orjson>=3.8", "shtab>=1.9", "starlette>=0.40", "textual>=1.0",
    "uvicorn>=0.30",
)  # fmt: skip
# What these need and bookworm has, new enough: Depends of the package.
DEBIANS = ("charset-normalizer", "click", "markdown", "oauthlib", "pyyaml", "requests", "requests-oauthlib", "urllib3")
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
_PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")  # bookworm's glibc is 2.36
# Of the wheel, not of the package: they differ from wheel to wheel, and nothing reads them once it is unpacked.
_OF_THE_WHEEL = ("RECORD", "WHEEL", "INSTALLER", "REQUESTED", "direct_url.json", "sboms/")
# Debian's own certificates, as Debian's python3-certifi does it: an administrator's authority holds for us, too.
_CERTIFICATES = ("certifi/cacert.pem", "/etc/ssl/certs/ca-certificates.crt")


def _pip_download(into: Path, python: str, machine: str, *what: str) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    platforms = [f"--platform={platform}_{machine}" for platform in _PLATFORMS]
    subprocess.run([*pip, f"--python-version={python}", *platforms, f"--dest={into}", *what], check=True)


def lock() -> None:
    """Print every wheel's name, version and hashes, for all Pythons and machines."""
    found: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for machine in MACHINES:
            for python in PYTHONS:
                _pip_download(Path(scratch), python, machine, *WANTED)
        for wheel in Path(scratch).glob("*.whl"):
            name, version = wheel.name.split("-")[:2]
            name = name.replace("_", "-")
            if name.lower() in DEBIANS:
                continue
            found.setdefault(f"{name}=={version}", set()).add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    print("# Made by packaging/deb/bundled.py lock. A package with compiled modules has one hash per Python and machine.")
    for pin in sorted(found):
        print(" \\\n    ".join([pin, *(f"--hash=sha256:{digest}" for digest in sorted(found[pin]))]))


def fetch(machine: str, into: Path) -> None:
    """Download the locked wheels of one machine. What does not have the locked hash is refused by pip."""
    for python in PYTHONS:
        _pip_download(into, python, machine, "--no-deps", "--require-hashes", f"--requirement={LOCK}")


def unpack(wheels: Path, target: Path) -> None:
    """Put all wheels into one tree. Raises SystemExit where two of them do not agree on a file."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if not entry.is_dir() and not _belongs_to_the_wheel(entry.filename):
                    _write(target / entry.filename, archive.read(entry), wheel)
    name, authority = _CERTIFICATES
    (target / name).unlink()
    (target / name).symlink_to(authority)


def _belongs_to_the_wheel(name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder.endswith(".data") or (folder.endswith(".dist-info") and file.startswith(_OF_THE_WHEEL))


def _write(file: Path, content: bytes, wheel: Path) -> None:
    if file.exists():
        if file.read_bytes() != content:
            sys.exit(f"{wheel.name}: {file} is another one than in the wheel before; one tree cannot serve both")
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o644)


def main() -> None:
    """Do one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock")
    fetching = commands.add_parser("fetch")
    fetching.add_argument("--machine", choices=MACHINES, required=True)
    fetching.add_argument("into", type=Path)
    unpacking = commands.add_parser("unpack")
    unpacking.add_argument("wheels", type=Path)
    unpacking.add_argument("target", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "lock":
        lock()
    elif arguments.command == "fetch":
        fetch(arguments.machine, arguments.into)
    else:
        unpack(arguments.wheels, arguments.target)


if __name__ == "__main__":
    main()
