"""What is in the image of each Debian suite: data only, and a digest that changes whenever the data does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

OVERLAY = Path(__file__).parent / "overlay"

_SYSTEM = (
    "dbus",
    "kmod",
    "linux-image-cloud-amd64",
    "login",
    "passwd",
    "procps",
    "systemd",
    "systemd-sysv",
    "udev",
)
_SESSIONS = (  # a login through sshd, PAM and logind, as a person's
    "dbus-user-session",
    "libpam-systemd",
    "openssh-client",
    "openssh-server",
)
_AGENT = (  # what the agent's package depends on or recommends: the VM has no network to fetch it from
    "ca-certificates",
    "libbpf1",
    "libnss-systemd",
    "python3",
    "python3-bpfcc",
    "python3-click",
    "python3-jeepney",
    "python3-markdown",
    "python3-prometheus-client",
    "python3-psutil",
    "python3-requests",
    "python3-requests-oauthlib",
    "python3-yaml",
)
_INSTRUMENTS = ("bpftool", "iproute2", "prometheus")
_LOAD = ("cron", "gcc", "make", "stress-ng")
_COMPILED_THERE = ("linux-headers-cloud-amd64",)  # what bcc compiles its programs with


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image. Two recipes with the same digest build the same image, but for newer Debian packages."""

    suite: str
    packages: tuple[str, ...] = field(default=_SYSTEM + _SESSIONS + _AGENT + _INSTRUMENTS + _LOAD + _COMPILED_THERE)
    has_security_archive: bool = True
    # Run in the new root, after the packages and the overlay are there.
    commands: tuple[str, ...] = (
        "useradd --create-home --shell /bin/bash alice",
        "systemctl enable payload.service",
        "systemctl mask prometheus.service",  # a test starts it
    )
    disk_mib: int = 4096  # a sparse file: about 700 MiB are written

    def digest(self) -> str:
        """Name what would be built: the fields above and every file of the overlay."""
        seen = hashlib.sha256(repr(self).encode())
        for file in sorted(OVERLAY.rglob("*")):
            if file.is_file():
                seen.update(f"{file.relative_to(OVERLAY)}\0".encode() + file.read_bytes())
        return seen.hexdigest()[:12]


RECIPES = {recipe.suite: recipe for recipe in (Recipe("bookworm"),)}
