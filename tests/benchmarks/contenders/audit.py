"""auditd as it is usually set up to log program starts: one rule on execve, raw and enriched."""

from __future__ import annotations

import contextlib
import functools
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contenders.contender import Contender, missing_tool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_RULE = ["always,exit", "-F", "arch=b64", "-S", "execve,execveat", "-k", "brainkernel-bench"]
_LOGINUID = Path("/proc/self/loginuid")  # is not there on a kernel without audit
_CONFIG = """\
local_events = yes
log_file = {folder}/audit.log
log_format = {log_format}
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 200
max_log_file_action = IGNORE
space_left = 20
admin_space_left = 10
space_left_action = IGNORE
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
"""


def _missing() -> str | None:
    if not _LOGINUID.exists():
        return "this kernel has no audit"
    if _auditors("auditd"):
        return "an auditd runs here already; its rules are not ours to change"
    return missing_tool("auditd", "auditd")


def _command(log_format: str, bench: Bench) -> list[str]:
    folder = bench.folder("audit")
    folder.chmod(0o700)  # it insists
    (folder / "auditd.conf").write_text(_CONFIG.format(folder=folder, log_format=log_format))
    return ["auditd", "-n", "-s", "enable", "-c", str(folder)]


# kauditd is a thread of the kernel that hands the records over: published figures count it.
@contextlib.contextmanager
def _rules(_bench: Bench) -> Iterator[list[int]]:
    _control("-b", "8192")
    _control("-a", *_RULE)
    try:
        yield _auditors("kauditd")
    finally:
        _control("-d", *_RULE)
        _control("-e", "0")


def _control(*words: str) -> None:
    subprocess.run(["auditctl", *words], check=True, capture_output=True)


def _auditors(comm: str) -> list[int]:
    return [int(d.name) for d in Path("/proc").iterdir() if d.name.isdecimal() and _comm_of(d) == comm]


def _comm_of(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""  # it has ended


RAW = Contender("auditd raw", functools.partial(_command, "RAW"), _missing, signal.SIGTERM, _rules)
ENRICHED = Contender("auditd enriched", functools.partial(_command, "ENRICHED"), _missing, signal.SIGTERM, _rules)
