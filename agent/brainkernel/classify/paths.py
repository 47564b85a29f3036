"""Paths of programs as the rules and the shipped knowledge spell them."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache

_MERGED_USR = ("/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/")  # links into /usr since Debian 12
_WORLD_WRITABLE = ("/tmp/", "/var/tmp/", "/dev/shm/", "/run/shm/", "/run/lock/", "/dev/mqueue/", "/var/crash/")  # noqa: S108 # judged, not used
_SYSTEM = ("/usr/", "/opt/", "/snap/", "/etc/", "/nix/store/", "/gnu/store/", "/var/lib/dpkg/info/", "/var/lib/flatpak/", "/app/", "/init")

# What distributions append to the name of one of several versions: python3.11, gcc-12, nc.openbsd, vim.gtk3.
_VERSION = re.compile(
    r"(?:-\d+(?:\.\d+)*|\d+\.\d+(?:\.\d+)*|\.(?:openbsd|traditional|basic|tiny|nox|gtk3|athena|distrib|real|plocate|sysvinit|py|sh|pl|rb))$"
)
_ARCHITECTURE = re.compile(r"^(?:x86_64|i686|aarch64|arm|armv7l|riscv64|powerpc64le|s390x)-(?:pc-)?linux-(?:gnu\w*|musl\w*)-")
_ONE_NAME = {
    "python3": "python",
    "python2": "python",
    "mono-sgen": "mono",
    "ncat": "nc",
    "netcat": "nc",
    "mawk": "awk",
    "gawk": "awk",
    "nodejs": "node",
}


@lru_cache(maxsize=2048)
def normalised(path: str) -> str:
    """Spell one file one way: /bin is /usr/bin, lib64 is lib, no `//`, `/./` or `/../`, no mark of the kernel that it is deleted."""
    path = path.removesuffix(" (deleted)")
    if "//" in path or "/./" in path or "/../" in path or path.endswith("/."):
        path = "/" + posixpath.normpath(path).lstrip("/") if path.startswith("/") else posixpath.normpath(path)
    path = "/usr" + path if path.startswith(_MERGED_USR) else path
    if not path.startswith("/usr/lib64/") or path.startswith("/usr/lib64/ld-"):  # the dynamic linker is in lib64 everywhere
        return path
    inside = path.removeprefix("/usr/lib64/")  # Fedora and openSUSE keep there what Debian has in /usr/lib
    return f"/usr/{inside}" if inside.startswith("libexec/") else f"/usr/lib/{inside}"


def elsewhere(path: str) -> tuple[str, ...]:
    """Where Debian would have a program of another distribution: sshd in /usr/bin, gvfsd in /usr/lib. `path` is normalised."""
    directory, _, name = path.rpartition("/")
    if directory == "/usr/lib" and ".so" not in name:
        return (f"/usr/libexec/{name}", f"/usr/lib/x86_64-linux-gnu/libexec/{name}")
    other = {"/usr/bin": "/usr/sbin", "/usr/sbin": "/usr/bin"}.get(directory)
    return (f"{other}/{name}",) if other else ()


@lru_cache(maxsize=4096)
def name_of(path: str) -> str:
    """Return the name of a program without version, architecture and flavour: `python3.11` and `python3` are `python`."""
    base = path.removesuffix(" (deleted)").rpartition("/")[2].lstrip("-")
    name = _ARCHITECTURE.sub("", base)
    for _ in range(2):  # vim.gtk3 and gcc-12.2 need one, python3.11.py two
        name = _VERSION.sub("", name) or name
    return _ONE_NAME.get(name, name)


def is_world_writable(path: str) -> bool:
    """Tell whether anybody may put a file there."""
    return path.startswith(_WORLD_WRITABLE)


def is_hidden(path: str) -> bool:
    """Tell whether a component begins with a dot."""
    return "/." in path


@lru_cache(maxsize=2048)
def is_system(path: str) -> bool:
    """Tell whether only root puts programs there, so that the path says what the program is. `path` is normalised."""
    return path.startswith(_SYSTEM) and not is_hidden(path)


_VERSION_IN_PATH = re.compile(r"(?<=/)\d+(?:\.\d+)*(?=/)|(?<=-)\d+(?:\.\d+)*(?=[/-]|$)|(?<=[a-z])\d+\.\d+(?:\.\d+)*(?=/|$)")


@lru_cache(maxsize=2048)
def without_versions(path: str) -> str:
    """Put N in the place of every version, so that what is known of PostgreSQL 15 holds for 17, and of php8.2 for php8.4."""
    return _VERSION_IN_PATH.sub("N", path)
