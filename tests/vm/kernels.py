"""The kernels of several Debian releases, for one userland: the image of `recipe` boots with each of them.

Not one image per release: what is asked is whether the programs load and see, and that must not hang on which Python
a release has (bullseye's 3.9 cannot run the agent). Packages are unpacked, never installed, so no dependency of a
newer release comes along.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vm.image import Image, ImageError, disk_of_tree, mirrors, only, only_one_builder
from vm.progress import say

if TYPE_CHECKING:
    from collections.abc import Iterable

SUITES = ("bullseye", "bookworm", "trixie", "sid")  # 5.10, 6.1, 6.12 and the newest
_WANTED = ("linux-image-cloud-amd64", "linux-headers-cloud-amd64")
_PART = re.compile(r"linux-(?:image|binary|base|modules|headers)-\d\S*(?<!-unsigned)")
_NO_MORE = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
# What the initrd needs to find its root and its way out; whatever is built into a kernel is not looked for.
_BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")
_DISK_MIB = 1024  # a sparse file


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel with its modules and headers. Never written to."""

    suite: str
    vmlinuz: Path
    boot_modules: Path  # an archive to go behind the image's initrd
    disk: Path  # labelled "kernel": lib/modules and usr/src

    def image(self, userland: Image, scratch: Path) -> Image:
        """The userland's image, to be booted with this kernel."""
        initrd = scratch / f"initrd-{self.suite}"
        # An archive begins at a multiple of four bytes (Documentation/driver-api/early-userspace/buffer-format.rst).
        padded = userland.initrd.read_bytes()
        initrd.write_bytes(padded + bytes(-len(padded) % 4) + self.boot_modules.read_bytes())
        return Image(userland.disk, self.vmlinuz, initrd)


def kernel_of(suite: str, cache: Path) -> Kernel:
    """Take the newest kernel of this release that is in the cache, or fetch it. Raises ImageError."""
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"kernel-{suite}"
    with only_one_builder(cache / f"kernel-{suite}.lock"):
        if not home.is_dir():
            _make(suite, cache, home)
    return Kernel(suite, home / "vmlinuz", home / "boot-modules.cpio", home / "disk.img")


def _make(suite: str, cache: Path, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix="building-") as scratch:
        tree, made = Path(scratch, "tree"), Path(scratch, "made")
        made.mkdir()
        # Newer releases ship below /usr/lib what older ones shipped below /lib.
        (tree / "usr/lib").mkdir(parents=True)
        (tree / "lib").symlink_to("usr/lib")
        for package in _fetched(suite, Path(scratch)):
            with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as unpacked:
                subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", tree], stdin=unpacked.stdout, check=True)
        modules = only(tree / "usr/lib/modules", "*")
        vmlinuz = next(iter([*tree.glob("boot/vmlinuz-*"), *modules.glob("vmlinuz")]), None)
        if vmlinuz is None:
            msg = f"the packages of {suite} have no vmlinuz"
            raise ImageError(msg)
        shutil.copy(vmlinuz, made / "vmlinuz")
        subprocess.run(["/sbin/depmod", "-b", tree, modules.name], check=True)
        (made / "boot-modules.cpio").write_bytes(_archive_of(_boot_files(tree, modules)))
        disk_of_tree(tree, made / "disk.img", size_mib=_DISK_MIB, label="kernel")
        made.rename(home)
    say(f"kernel {modules.name} of {suite} is ready in {home}")


# With a sources.list, package lists and a dpkg database of its own, so that this host's stay as they are.
def _fetched(suite: str, scratch: Path) -> list[Path]:
    say(f"fetching the kernel of {suite}")
    apt = scratch / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb {mirrors()[False]} {suite} main\n")
    options = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": apt,
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
    }
    chosen = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _ran(["apt-get", *chosen, "update"], scratch)
    listed = _ran(["apt-cache", *chosen, "depends", "--recurse", *_NO_MORE, *_WANTED], scratch)
    parts = sorted({line for line in listed.splitlines() if _PART.fullmatch(line)})
    if not parts:
        msg = f"the mirror has no kernel for {suite}"
        raise ImageError(msg)
    _ran(["apt-get", *chosen, "download", *parts], scratch)
    return sorted(scratch.glob("*.deb"))


def _ran(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        msg = f"{command[0]} failed ({done.returncode}): {done.stderr.strip()[-500:]}"
        raise ImageError(msg)
    return done.stdout


# Path in the archive and content, of the modules that lead to the root disk and of what modprobe reads.
def _boot_files(tree: Path, modules: Path) -> dict[str, bytes]:
    lines = (line.partition(":") for line in (modules / "modules.dep").read_text().splitlines())
    needs = {path: rest.split() for path, _, rest in lines}
    by_name = {Path(path).name.partition(".")[0]: path for path in needs}
    wanted = {by_name[name] for name in _BOOT_MODULES if name in by_name}
    wanted |= {needed for path in wanted for needed in needs[path]}
    with tempfile.TemporaryDirectory() as folder:
        few = Path(folder, modules.relative_to(tree))
        for path in [*wanted, "modules.builtin", "modules.builtin.modinfo", "modules.order"]:
            (few / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(modules / path, few / path)
        # The initrd's /lib is a link to usr/lib as well.
        (Path(folder) / "lib").symlink_to("usr/lib")
        subprocess.run(["/sbin/depmod", "-b", folder, modules.name], check=True)
        return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(few.rglob("*")) if file.is_file()}


# The kernel's "newc" format, so that no cpio need be installed.
def _archive_of(files: dict[str, bytes]) -> bytes:
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    entries = [(name, 0o40755, b"") for name in folders] + [(name, 0o100644, content) for name, content in files.items()]
    return b"".join(_entries_of([*entries, ("TRAILER!!!", 0, b"")]))


def _entries_of(entries: Iterable[tuple[str, int, bytes]]) -> Iterable[bytes]:
    for number, (name, mode, content) in enumerate(entries, start=1):
        named = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(named), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + named
        yield head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
