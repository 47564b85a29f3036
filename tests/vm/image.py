"""Builds an image once per recipe and keeps it: a root disk, its kernel and its initrd."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vm.progress import say
from vm.recipe import OVERLAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vm.recipe import Recipe

LOG_TAIL_LINES = 15


class ImageError(Exception):
    """The image cannot be built; the text says why and what to look at."""


@dataclass(frozen=True, slots=True)
class Image:
    """A bootable system. Never written to: machines run on a snapshot of it."""

    disk: Path
    kernel: Path
    initrd: Path


def cache_dir() -> Path:
    """The folder that outlives runs: BRAINKERNEL_VM_CACHE, or brainkernel-vm in the user's or the system's cache."""
    if chosen := os.environ.get("BRAINKERNEL_VM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "brainkernel-vm"


def image_of(recipe: Recipe, cache: Path) -> Image:
    """Take the image from the cache, or build it. Raises ImageError; a failed build leaves nothing but its log."""
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"{recipe.suite}-{recipe.digest()}"
    image = Image(home / "disk.img", home / "vmlinuz", home / "initrd.img")
    with only_one_builder(cache / f"{recipe.suite}.lock"):
        if not home.is_dir():
            _build(recipe, cache, home)
            _drop_older(recipe, cache, home)
    return image


@contextmanager
def only_one_builder(lock: Path) -> Iterator[None]:
    """Wait until nobody else builds what this lock stands for."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _build(recipe: Recipe, cache: Path, home: Path) -> None:
    say(f"building the {recipe.suite} image {home.name}: 1 to 3 minutes, once per recipe")
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
        root, made = Path(scratch, "root"), Path(scratch, "made")
        made.mkdir()
        _bootstrap(recipe, root, cache / f"{recipe.suite}-build.log")
        shutil.copy(only(root / "boot", "vmlinuz-*"), made / "vmlinuz")
        shutil.copy(only(root / "boot", "initrd.img-*"), made / "initrd.img")
        say("writing the disk")
        disk_of_tree(root, made / "disk.img", size_mib=recipe.disk_mib, label="root")
        # The rename is what makes it an image: who is killed before it leaves no half-built one.
        made.rename(home)
    say(f"image ready in {home}")


def _bootstrap(recipe: Recipe, root: Path, log: Path) -> None:
    command = [
        "mmdebstrap",
        "--variant=apt",
        f"--include={','.join(recipe.packages)}",
        f'--customize-hook=cp -r --no-preserve=ownership {OVERLAY}/. "$1"',
        *(f'--customize-hook=chroot "$1" {command}' for command in recipe.commands),
        recipe.suite,
        str(root),
        *_sources_of(recipe),
    ]
    with log.open("w") as written, subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        for line in process.stderr or ():
            written.write(line)
            if line.startswith("I: "):
                say(line.removeprefix("I: ").strip())
    if process.returncode != 0:
        tail = "\n".join(log.read_text().splitlines()[-LOG_TAIL_LINES:])
        msg = f"mmdebstrap failed ({process.returncode}); all of it is in {log}:\n{tail}"
        raise ImageError(msg)


def mirrors() -> dict[bool, str]:
    """Where this host itself takes Debian packages from, so that a proxy or a private mirror is respected.

    The key says whether it is the mirror of the security archive. Raises ImageError if there is none at all.
    """
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found: dict[bool, str] = {}
    for uri, release, component in (line.split() for line in listed.splitlines()):
        if component == "main" and "debian" in uri:
            found.setdefault(release.endswith("-security"), uri)
    if False not in found:
        msg = "no Debian mirror with a 'main' component in this host's apt sources; add one to /etc/apt/sources.list"
        raise ImageError(msg)
    return found


def _sources_of(recipe: Recipe) -> list[str]:
    known = mirrors()
    sources = [f"deb {known[False]} {recipe.suite} main"]
    if recipe.has_security_archive and True in known:
        sources.append(f"deb {known[True]} {recipe.suite}-security main")
    return sources


def disk_of_tree(tree: Path, disk: Path, *, size_mib: int, label: str) -> None:
    """Write a folder as the content of a new ext4 disk (a sparse file)."""
    with disk.open("wb") as file:
        file.truncate(size_mib * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-L", label, "-d", tree, disk], check=True)


def only(folder: Path, pattern: str) -> Path:
    """The one file that matches. Raises ImageError if there is none, or more."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        msg = f"expected one {pattern} in {folder}, found {[f.name for f in found]}"
        raise ImageError(msg)
    return found[0]


def _drop_older(recipe: Recipe, cache: Path, keep: Path) -> None:
    for old in cache.glob(f"{recipe.suite}-*"):
        if old.is_dir() and old != keep:
            shutil.rmtree(old)
