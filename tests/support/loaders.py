"""Opening any loader in a test: what it needs of the host, with reason and remedy when that is missing."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import io
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from brainkernel.sense import hostcheck
from brainkernel.sense.core import CoreLoader, CoreOptions
from brainkernel.sense.netlink import NetlinkLoader
from brainkernel.sense.recording import line_of
from brainkernel.sense.replay import ReplayLoader
from brainkernel.sense.stream import StreamOptions
from support.kernel import Witness, refuse, require_kernel, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.model import ProcessEvent
    from brainkernel.sense.loader import KernelCounters, Loader

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 1 << 18  # include/uapi/linux/sched.h, mount.h
_DEBIAN_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
_ARCH_FOLDER = {"x86_64": "x86", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
SOURCES = Path("/usr/src")


class Opener(Protocol):
    """Opens a loader with these options and closes it after the test."""

    def __call__(self, **options: Any) -> Witness: ...


@contextlib.contextmanager
def open_witness(name: str) -> Iterator[Opener]:
    """Give what opens the loader `name`; skip, or fail under REQUIRE_KERNEL=1, where the host cannot."""
    with contextlib.ExitStack() as stack:
        require_kernel()  # also compiles, and checks capabilities and the PID namespace, for all of them
        if name == "bcc":
            stack.enter_context(_bcc_host())

        def opener(**options: Any) -> Witness:
            loader = _loader(name, {"own_tgids": ()} | options)
            stack.callback(loader.close)
            loader.open()
            return Witness(loader)

        yield opener


def closed(witness: Witness) -> KernelCounters:
    """Wait until all sums hold: others on this host may be in the middle of an event."""

    def balanced() -> KernelCounters | None:
        witness.drain()
        counters = witness.loader.counters()
        return None if counters.mismatches() else counters

    return wait_until("closed books", balanced)


class Recorded(ReplayLoader):
    """Replays what the core loader records meanwhile: the events of this host, by way of their lines."""

    def __init__(self, **options: Any) -> None:
        self._live = CoreLoader(CoreOptions(all_events=True, own_tgids=()))
        self._recording = io.BytesIO()
        super().__init__(self._recording, **options)

    def open(self) -> None:
        self._live.open()
        super().open()

    def close(self) -> None:
        super().close()
        self._live.close()

    def drain(self, limit: int = 512) -> list[ProcessEvent]:
        lines = [line for event in self._live.drain(limit) if (line := line_of(event)) is not None]
        read_up_to = self._recording.tell()
        self._recording.seek(0, os.SEEK_END)
        self._recording.write("".join(f"{line}\n" for line in lines).encode())
        self._recording.seek(read_up_to)
        return super().drain(limit)


def _loader(name: str, options: dict[str, Any]) -> Loader:
    if name == "replay":
        return Recorded(**options)
    # On cgroup v1 the whole host shares one bucket, and others may be starting programs by the hundred.
    options = {"exec_records_per_s": 0} | options
    if name == "core":
        return CoreLoader(CoreOptions(**options))
    if name == "netlink":
        return NetlinkLoader(StreamOptions(**options))
    from brainkernel.sense.bcc import BccLoader  # noqa: PLC0415 # bcc need not be there

    return BccLoader(StreamOptions(**options))


@contextlib.contextmanager
def _bcc_host() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if "BCC_KERNEL_SOURCE" not in os.environ and not Path(f"/lib/modules/{platform.release()}/build").exists():
            os.environ["BCC_KERNEL_SOURCE"] = _merged_headers()
            stack.callback(os.environ.pop, "BCC_KERNEL_SOURCE")
        if not any(Path(d, "events/sched").is_dir() for d in hostcheck.TRACING):
            stack.enter_context(_tracefs())
        yield


# Debian parts one kernel's headers in two; bcc wants them in one tree. Once per test run: it is 20,000 files.
@functools.cache
def _merged_headers() -> str:
    folder = tempfile.mkdtemp(prefix="brainkernel-headers-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _merge_debian_headers(Path(folder))
    return folder


def _merge_debian_headers(into: Path) -> None:
    commons = sorted(SOURCES.glob("linux-headers-*-common"))
    arch = _DEBIAN_ARCH.get(platform.machine(), platform.machine())
    built = [SOURCES / f"{common.name.removesuffix('-common')}-{arch}" for common in commons]
    pairs = [(c, b) for c, b in zip(commons, built, strict=True) if b.is_dir()]
    if not pairs:
        refuse(f"no kernel headers are installed; apt-get install linux-headers-{arch}, as ./scripts/setup test does")
    for source in pairs[-1]:
        for part in ("include", f"arch/{_ARCH_FOLDER}", "Makefile"):
            if (source / part).exists():
                (into / part).parent.mkdir(exist_ok=True)
                subprocess.run(["cp", "-rsf", source / part, (into / part).parent], check=True)


# A mount of our own, in a namespace of our own: systemd mounts tracefs, a bare container host need not.
@contextlib.contextmanager
def _tracefs() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def checked(what: str, result: int) -> None:
        if result:
            refuse(f"{what}: {os.strerror(ctypes.get_errno())}; mount -t tracefs tracefs /sys/kernel/tracing")

    here = Path.cwd()
    fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        checked("unshare", libc.unshare(_CLONE_NEWNS))
        checked("private mounts", libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
        checked("tracefs", libc.mount(b"tracefs", b"/sys/kernel/tracing", b"tracefs", 0, None))
        yield
    finally:
        libc.setns(fd, 0)
        os.close(fd)
        os.chdir(here)
