"""Boots an image with a payload and brings back what pytest printed and how it ended."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vm.progress import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vm.image import Image

MEMORY_MIB = 2048
CPUS = 2  # the tests' hogs take both, so that there is a victim
BOOT_DEADLINE_S = 300.0
CONSOLE_TAIL_LINES = 40
LOCK = Path("/run/lock/brainkernel-vm")
LOOK_S = 5.0  # how often the console is looked at while nothing comes from the tests
PANIC = "Kernel panic - not syncing"
# cmpxchg16b, which the kernel's allocator is built on, leaves junk in the flags when QEMU 7.2 (Debian 12's) emulates it,
# interrupts off or a mode that x86-64 does not have among them: a double fault in one boot, a dead console in another.
# The kernel does without it, and so does each program for Debian's baseline.
EMULATED_CPU = ("-cpu", "max,cx16=off")
MARK = b"\x1e"  # ASCII "record separator": pytest prints none (enter writes it)


class MachineError(Exception):
    """The VM brought no result; the text says what was seen last."""


class GuestDeadError(MachineError):
    """The guest's kernel panicked, or never came to life: it, or the emulation of two CPUs by two threads, is at fault."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One boot. The image is used through a snapshot that vanishes with the process."""

    image: Image
    payload: Path
    console: Path  # what the kernel and systemd say goes here
    end_of_run: str  # the word before the exit status, unknown to any test
    more_disks: tuple[Path, ...] = ()
    # One thread of the host for all CPUs: with one each, QEMU 7.2 may run code that another CPU is just writing anew as it was
    # before. A kernel that attaches to a tracepoint does that; 7.2 died of the breakpoint that it had taken out again.
    in_one_thread: bool = False

    def run(self, timeout_s: float) -> int:
        """Copy pytest's output to stdout as it comes and return its exit status.

        Raises MachineError if the machine ends, or the time does, before the status is there; GuestDeadError if its kernel does.
        """
        output = ["-chardev", "file,id=out,path=/dev/stdout", "-device", "virtio-serial"]
        output += ["-device", "virtserialport,chardev=out,name=brainkernel"]
        command = [*self._command(f"file:{self.console}"), *output]
        with _only_one_machine(), _started(command) as process:
            say("booting: 10 to 60 seconds")
            return self._follow(process, timeout_s)

    def shell(self) -> int:
        """Give the person at this terminal a root shell in the VM; Ctrl-A x ends it."""
        return subprocess.run(self._command("mon:stdio", interactive=True), check=False).returncode

    def _command(self, serial: str, *, interactive: bool = False) -> list[str]:
        accelerator = os.environ.get("BRAINKERNEL_VM_ACCEL", "tcg")
        # /dev/kvm may be there and not work (nested virtualisation): never taken unasked.
        emulated = ("-accel", f"tcg,thread={'single' if self.in_one_thread else 'multi'}", *EMULATED_CPU)
        processor = ("-accel", "kvm", "-cpu", "host") if accelerator == "kvm" else emulated
        kernel_says = "systemd.journald.forward_to_console=1 systemd.journald.max_level_console=warning"
        # A getty would hang up the console and swallow what is printed there.
        threads = " brainkernel.in_one_thread" if self.in_one_thread else ""  # nothing can be said of time then
        console = "brainkernel.shell" if interactive else f"systemd.mask=serial-getty@ttyS0.service {kernel_says}"
        return [
            *("setpriv", "--pdeathsig", "KILL"),  # killed with us, even by kill -9
            *("qemu-system-x86_64", *processor, "-M", "q35", "-m", str(MEMORY_MIB), "-smp", str(CPUS), "-nic", "none"),
            *("-display", "none", "-serial", serial, *([] if interactive else ["-monitor", "none"])),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)),
            *("-drive", f"file={self.image.disk},if=virtio,format=raw,snapshot=on"),
            *(word for disk in (self.payload, *self.more_disks) for word in ("-drive", f"file={disk},if=virtio,format=raw,snapshot=on")),
            *("-append", f"root=/dev/vda rw console=ttyS0 quiet mitigations=off {console}{threads}"),
        ]

    def _follow(self, process: subprocess.Popen[bytes], timeout_s: float) -> int:
        assert process.stdout is not None
        started_s = time.monotonic()
        pending, booted = b"", False
        while True:
            limit_s = timeout_s if booted else BOOT_DEADLINE_S
            left_s = started_s + limit_s - time.monotonic()
            if left_s <= 0:
                if not booted:
                    raise GuestDeadError(self._story(f"no sign of life after {limit_s:.0f} s"))
                raise MachineError(self._story(f"no end of the tests after {limit_s:.0f} s"))
            if not select.select([process.stdout], [], [], min(left_s, LOOK_S))[0]:
                self._fail_if_it_panicked()
                continue
            if not (read := os.read(process.stdout.fileno(), 65536)):
                raise MachineError(self._story(f"the machine stopped by itself (qemu ended with {process.wait()})"))
            if not booted:
                say("booted")
                booted = True
            pending = self._pass_on(pending + read)
            if pending.endswith(b"\n") and (status := self._status_in(pending)) is not None:
                return status

    def _pass_on(self, text: bytes) -> bytes:
        # What might be the beginning of the end-of-run line waits for the rest of it.
        shown, mark, rest = text.partition(MARK)
        sys.stdout.buffer.write(shown)
        sys.stdout.buffer.flush()
        return mark + rest

    def _status_in(self, pending: bytes) -> int | None:
        word, _, status = pending.removeprefix(MARK).decode(errors="replace").strip().partition(" ")
        return int(status) if word == self.end_of_run and status.isdecimal() else None

    # Its CPUs spin from then on; the machine itself says nothing more.
    def _fail_if_it_panicked(self) -> None:
        if any(PANIC in line for line in self._said()):
            raise GuestDeadError(self._story("its kernel panicked"))

    def _said(self) -> list[str]:
        return self.console.read_text(errors="replace").splitlines() if self.console.exists() else []

    def _story(self, what: str) -> str:
        tail = "\n".join(f"  console | {line.strip()}" for line in self._said()[-CONSOLE_TAIL_LINES:])
        return f"\n{what}\n{tail or '  the console is empty'}"


@contextmanager
def _only_one_machine() -> Iterator[None]:
    # Two emulated machines at a time make each other so slow that deadlines inside are missed.
    with LOCK.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another VM of these tests runs: waiting for its end")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()  # there is nothing to save: both disks are snapshots
