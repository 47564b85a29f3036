"""What an exit tells of the process that ended, against what wait4(2) says of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from brainkernel.model import Exit, Mark
from support.kernel import Witness, refuse, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from resource import struct_rusage

TICKS_NS = 20_000_000  # two of a kernel with HZ=100: wait4 and the kernel's own sum are both taken at ticks
BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
# hashlib lets go of the interpreter's lock, so that the threads run at the same time; then all of them are ended at once.
BURN_IN_THREADS = """
import hashlib, os, threading, time
block = bytes(1 << 20)
def burn():
    while True: hashlib.sha256(block)
for _ in range(6): threading.Thread(target=burn, daemon=True).start()
while time.process_time() < 0.5: time.sleep(0.01)
os._exit(0)
"""


def ended(witness: Witness, code: str) -> tuple[Exit, struct_rusage]:
    """Run Python code to its end; the exit that was reported and what wait4(2) says."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", code], dict(os.environ))
    while not (waited := os.wait4(pid, os.WNOHANG))[0]:  # looking meanwhile: others may fill the ring
        witness.drain()
        time.sleep(0.01)
    usage = waited[2]
    return wait_until("the exit", lambda: witness.exits_of(pid))[0], usage


@pytest.mark.parametrize("code", [BURN, BURN_IN_THREADS], ids=["one thread", "threads that end together"])
def test_exit_tells_the_cpu_time_and_the_memory_of_the_process(watch: Callable[..., Witness], code: str) -> None:
    """The sum of all threads, whether they were reaped before or end at this moment, and the most memory it ever had."""
    exit_, usage = ended(watch(all_events=True), code)

    assert exit_.cpu_ns == pytest.approx((usage.ru_utime + usage.ru_stime) * 1e9, abs=8 * TICKS_NS)
    assert exit_.max_rss_bytes == usage.ru_maxrss * 1024


def test_exit_tells_how_long_the_process_waited_for_a_cpu(watch: Callable[..., Witness]) -> None:
    """Beside another that wants the same CPU it stands in the run queue about as long as it runs."""
    cpu = min(os.sched_getaffinity(0))
    pinned = f"import os\nos.sched_setaffinity(0, [{cpu}])\n"
    rivalry = f"{pinned}os.write(1, b'!')\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-S", "-c", rivalry], stdout=subprocess.PIPE) as rival:
        assert rival.stdout is not None
        rival.stdout.read(1)
        try:
            exit_, _ = ended(watch(all_events=True), pinned + BURN)
        finally:
            rival.kill()

    assert exit_.run_delay_ns is not None
    assert exit_.run_delay_ns > 50_000_000


@pytest.fixture
def overlay(public_dir: Path) -> Iterator[Path]:
    """An overlay of two folders with a program in its lower, read-only one."""
    folders = {name: public_dir / name for name in ("lower", "upper", "work", "merged")}
    for folder in folders.values():
        folder.mkdir()
    shutil.copy("/bin/true", folders["lower"] / "shipped")
    options = f"lowerdir={folders['lower']},upperdir={folders['upper']},workdir={folders['work']}"
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, folders["merged"]], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        refuse(f"no overlay can be mounted here: {mounted.stderr.strip()}")
    yield folders["merged"]
    subprocess.run(["umount", folders["merged"]], check=True)


def test_program_that_a_container_image_did_not_bring_is_marked(watch: Callable[..., Witness], overlay: Path) -> None:
    """In the upper layer of an overlay is what was written after the image was made; what came with it has no mark."""
    witness = watch()
    shutil.copy("/bin/true", overlay / "added")

    for name in ("shipped", "added"):
        os.waitpid(os.posix_spawn(overlay / name, [name, "layered"], {}), 0)
    wait_until("both", lambda: len(witness.execs("layered")) == 2)
    events = {e.comm: e for e in witness.execs("layered")}

    assert Mark.OVERLAY_UPPER not in events["shipped"].marks
    assert Mark.OVERLAY_UPPER in events["added"].marks
