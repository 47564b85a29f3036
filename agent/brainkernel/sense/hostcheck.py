"""Why the kernel would not let us look, found out before it says EPERM; and what to do about it."""

from __future__ import annotations

import errno
import os
import platform
from pathlib import Path

from brainkernel.sense import wire
from brainkernel.sense.libbpf import LibbpfError

TRACING = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")  # where bcc looks for tracepoints
_INIT_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h
_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39  # include/uapi/linux/capability.h


def missing_for_core(object_file: Path, proc: Path, sys: Path) -> str | None:
    """What the core loader lacks on this host, and the remedy, in one line; None if nothing is known to be missing."""
    if not object_file.is_file():
        return f"the compiled BPF programs are missing ({object_file}); run ./scripts/build-bpf, which needs clang and libbpf-dev"
    if not (sys / "kernel/btf/vmlinux").exists():
        return "this kernel does not describe its types (no /sys/kernel/btf/vmlinux); boot one with CONFIG_DEBUG_INFO_BTF=y, 5.10 or newer"
    if "[confidentiality]" in _text_of(sys / "kernel/security/lockdown"):
        return "the kernel is locked down (confidentiality), which forbids BPF to read; boot with lockdown=integrity or without Secure Boot"
    return _missing_for_bpf(proc)


def missing_for_bcc(source_file: Path, proc: Path) -> str | None:
    """What the bcc loader lacks on this host, and the remedy, in one line; None if nothing is known to be missing."""
    if not source_file.is_file():
        return f"the source of the BPF programs is missing ({source_file}); run ./scripts/build-bpf"
    if not _text_of(source_file).startswith(f"/* EVENT_ABI {wire.ABI:#010x} */"):
        return f"{source_file} is of another version of brainkernel; run ./scripts/build-bpf"
    if "BCC_KERNEL_SOURCE" not in os.environ and not Path(f"/lib/modules/{platform.release()}/build").exists():
        return f"the headers of this kernel are missing; install linux-headers-{platform.release()}, or name others in BCC_KERNEL_SOURCE"
    if not any(Path(folder, "events/sched").is_dir() for folder in TRACING):
        return "tracefs is not mounted; mount -t tracefs tracefs /sys/kernel/tracing"
    return _missing_for_bpf(proc)


def _missing_for_bpf(proc: Path) -> str | None:
    if lacking := lacking_capabilities(_text_of(proc / "self/status")):
        return f"this process lacks {' and '.join(lacking)}; run it as root or grant them (AmbientCapabilities= in a unit)"
    if _pid_namespace(proc) not in (None, _INIT_PID_NAMESPACE):
        return "this process is in a PID namespace of its own, where the kernel's process ids mean nothing; run it on the host (--pid=host)"
    return None


def lacking_capabilities(status: str) -> list[str]:
    """Which of the capabilities that tracing needs are not effective, out of /proc/PID/status."""
    effective = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    if effective >> _CAP_SYS_ADMIN & 1:  # stood for both before a17b53c4a4b5 "bpf, capability: Introduce CAP_BPF" (in v5.8)
        return []
    return [name for name, bit in (("CAP_BPF", _CAP_BPF), ("CAP_PERFMON", _CAP_PERFMON)) if not effective >> bit & 1]


def explained(error: Exception) -> str:
    """A failure that no check foresaw, in one line with a remedy."""
    kernel = platform.release()
    if isinstance(error, LibbpfError) and error.errno in (errno.EPERM, errno.EACCES):
        return f"{error}; kernel {kernel} or a security policy (seccomp, SELinux, a container) forbids BPF: run on the host as root"
    return f"{error}; kernel {kernel}, and the programs need 5.10 or newer"


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _pid_namespace(proc: Path) -> int | None:
    try:
        return (proc / "self/ns/pid").stat().st_ino
    except OSError:
        return None
