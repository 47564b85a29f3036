"""The peers that are one command."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

from benchmarks.contenders.contender import Contender, missing_tool


def _missing_bcc() -> str | None:
    if "BCC_KERNEL_SOURCE" not in os.environ and not Path(f"/lib/modules/{platform.release()}/build").exists():
        return f"the headers of this kernel are missing (linux-headers-{platform.release()}, or others named in BCC_KERNEL_SOURCE)"
    return missing_tool("execsnoop-bpfcc", "bpfcc-tools")


EXECSNOOP = Contender("execsnoop", lambda _b: ["execsnoop"], functools.partial(missing_tool, "execsnoop", "libbpf-tools"))
BPFTRACE = Contender("bpftrace", lambda _b: ["execsnoop.bt"], functools.partial(missing_tool, "execsnoop.bt", "bpftrace"))
BCC = Contender("bcc execsnoop", lambda _b: ["execsnoop-bpfcc"], _missing_bcc)
RUNQLAT = Contender("runqlat", lambda _b: ["runqlat", "600", "1"], functools.partial(missing_tool, "runqlat", "libbpf-tools"))
BPFTRACE_QUEUE = Contender("bpftrace", lambda _b: ["runqlat.bt"], functools.partial(missing_tool, "runqlat.bt", "bpftrace"))
