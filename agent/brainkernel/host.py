"""What this host can do for the agent, as facts: for the banner of `run` and for `doctor`.

Facts are read from files below `root`; nothing is loaded, written or connected to.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel.act.cgroupfs import CgroupVersion, version_of
from brainkernel.sense.hostcheck import lacking_capabilities

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOT = Path("/")
_CGROUP_REMEDY = "boot with systemd.unified_cgroup_hierarchy=1 (cgroup v2) to allow limits; until then only observing is possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What was found. A text that says why not is empty when all is well."""

    kernel: str
    machine: str
    distribution: str
    is_root: bool
    btf: bool
    lockdown: str  # none, integrity, confidentiality; "" where the kernel has no lockdown
    lacking_capabilities: tuple[str, ...]  # of those that BPF needs
    cgroup: CgroupVersion
    cpu_controller: bool  # systemd may hand it out below the root
    systemd_version: int | None  # None: systemd does not run this host
    sched_ext: str  # the BPF scheduler that is loaded; "" if none is
    psi: bool
    container: str  # what kind of container this is; "" on a host or VM

    @property
    def why_no_bpf(self) -> str:
        """What stops the core loader."""
        if not self.btf:
            return "no /sys/kernel/btf/vmlinux: boot a kernel with CONFIG_DEBUG_INFO_BTF=y (Debian, Ubuntu, Fedora have it)"
        if self.lockdown == "confidentiality":
            return "the kernel is locked down (confidentiality): boot with lockdown=integrity"
        if self.lacking_capabilities:
            return f"lacking {' and '.join(self.lacking_capabilities)}: run as root"
        return ""

    @property
    def why_no_limits(self) -> str:
        """What stops limits, whatever the mode."""
        if self.cgroup is not CgroupVersion.V2:
            return f"cgroup {self.cgroup.value}: {_CGROUP_REMEDY}"
        if self.sched_ext:
            return f"the scheduler {self.sched_ext} is loaded (sched_ext): it need not heed limits; unload it to have them"
        if not self.cpu_controller:
            return "the cpu controller is not enabled below the cgroup root: something mounted it elsewhere (cgroup v1)"
        return ""


def read_facts(root: Path = _ROOT, systemctl: Callable[[], str] | None = None) -> HostFacts:
    """Read all facts of the host whose file system is at `root`. `systemctl` gives the text of its --version."""
    proc, sys, cgroup = root / "proc", root / "sys", root / "sys/fs/cgroup"
    version = version_of(_text_of(proc / "self/mountinfo"), Path("/sys/fs/cgroup"))
    booted = (root / "run/systemd/system").is_dir()
    return HostFacts(
        kernel=_text_of(proc / "sys/kernel/osrelease") or platform.release(),
        machine=platform.machine(),
        distribution=_distribution_of(_text_of(root / "etc/os-release") or _text_of(root / "usr/lib/os-release")),
        is_root=os.geteuid() == 0,
        btf=(sys / "kernel/btf/vmlinux").exists(),
        lockdown=_chosen(_text_of(sys / "kernel/security/lockdown")),
        lacking_capabilities=tuple(lacking_capabilities(_text_of(proc / "self/status"))),
        cgroup=version,
        cpu_controller="cpu" in _text_of(cgroup / "cgroup.controllers").split(),
        sched_ext=_text_of(sys / "kernel/sched_ext/root/ops") if _text_of(sys / "kernel/sched_ext/state") == "enabled" else "",
        systemd_version=_systemd_version_of((systemctl or _systemctl)()) if booted else None,
        psi=(proc / "pressure/cpu").exists(),
        container=_text_of(root / "run/systemd/container"),
    )


def _systemctl() -> str:
    try:
        return subprocess.run(["systemctl", "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


# "systemd 252 (252.39-1~deb12u1)"; a systemd that runs but cannot be asked is version 0, old for all that matters.
def _systemd_version_of(text: str) -> int:
    match = re.match(r"systemd (\d+)", text)
    return int(match[1]) if match else 0


def _chosen(text: str) -> str:
    match = re.search(r"\[(\w+)\]", text)
    return match[1] if match else ""


def _distribution_of(os_release: str) -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', os_release, re.MULTILINE)
    return match[1] if match else ""


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
