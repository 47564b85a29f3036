"""The command behind scripts/test-vm."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from vm.image import ImageError, cache_dir, image_of
from vm.kernels import SUITES, kernel_of
from vm.machine import GuestDeadError, Machine, MachineError
from vm.payload import write_payload
from vm.progress import say
from vm.recipe import RECIPES

EXIT_NO_RESULT = 125  # pytest's own end at 5
KERNEL_TESTS = "/payload/tests/kernel"
# Not what no kernel makes a difference to, nor what emulation makes minutes of: of the loaders that read /proc or compile
# (bcc: ten seconds each time) one test each of exec, gate, exit, run queue and flood control.
_ANY_KERNEL = (
    "test_agent",
    "test_bench",
    "test_soak",
    "test_record",
    "test_standing",
    "test_abi",
    "test_task_route",
    "storm",
    "replay",
    "in_their_order",
    "gate_is_bounded",
    "flood_of_one_cgroup",
    "flood_control_is_off",
    "books_close",
)
_OF_OTHERS = "seen_with or quiet_and_counted or from_fork_to_exit or waits_for_a_cpu or held_back"
FOR_EACH_KERNEL = f"not ({' or '.join(_ANY_KERNEL)}) and (not (bcc or netlink) or {_OF_OTHERS})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="test-vm",
        description="Run tests/vm/inside in a Debian VM (QEMU; no KVM, no network needed once the image is there).",
        epilog="The exit status and the last line are pytest's; 125: the VM brought no result. "
        f"Images are kept in {cache_dir()} (BRAINKERNEL_VM_CACHE); remove it to rebuild. BRAINKERNEL_VM_ACCEL=kvm uses KVM.",
    )
    parser.add_argument("-k", metavar="EXPR", help="only the tests that match, as in pytest -k")
    parser.add_argument("--suite", choices=sorted(RECIPES), default="bookworm", help="Debian suite of the VM (default: %(default)s)")
    parser.add_argument(
        "--kernels",
        nargs="?",
        const=",".join(SUITES),
        metavar="SUITES",
        help=f"tests/kernel instead, once with the kernel of each of these Debian releases (default: {','.join(SUITES)})",
    )
    parser.add_argument("--timeout", type=float, default=5400, metavar="SECONDS", help="for boot and tests (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder (console log, payload disk) and say where it is")
    parser.add_argument("--shell", action="store_true", help="a root shell in the VM instead of the tests; Ctrl-A x ends it")
    parser.add_argument("pytest", nargs="*", metavar="PYTEST_ARG", help="after --: more arguments for pytest in the VM")
    return parser.parse_args()


def _run(options: argparse.Namespace, scratch: Path) -> int:
    return _run_kernels(options, scratch) if options.kernels else _run_one(options, scratch)


# The same userland each time; the image is that of the other tests.
def _run_kernels(options: argparse.Namespace, scratch: Path) -> int:
    cache = cache_dir()
    userland = image_of(RECIPES[options.suite], cache)
    kernels = [kernel_of(suite, cache) for suite in options.kernels.split(",")]
    end_of_run = f"end-of-run-{secrets.token_hex(8)}"
    arguments = ["-q", "-k", options.k or FOR_EACH_KERNEL, *(options.pytest or [KERNEL_TESTS])]
    payload = write_payload(scratch, cache, arguments=arguments, end_of_run=end_of_run)
    statuses = {}
    for kernel in kernels:
        say(f"the kernel of {kernel.suite}")
        image = kernel.image(userland, scratch)
        machine = Machine(image, payload, scratch / f"console-{kernel.suite}.log", end_of_run, (kernel.disk,), in_one_thread=True)
        try:
            statuses[kernel.suite] = machine.shell() if options.shell else machine.run(options.timeout)
        except MachineError as error:  # the other kernels may do better
            say(str(error))
            statuses[kernel.suite] = EXIT_NO_RESULT
    say(", ".join(f"{suite}: {'passed' if status == 0 else f'FAILED ({status})'}" for suite, status in statuses.items()))
    return max(statuses.values())


def _run_one(options: argparse.Namespace, scratch: Path) -> int:
    cache = cache_dir()
    image = image_of(RECIPES[options.suite], cache)
    end_of_run = f"end-of-run-{secrets.token_hex(8)}"
    selection = ["-k", options.k] if options.k else []
    color = ["--color=yes"] if sys.stdout.isatty() else []
    payload = write_payload(scratch, cache, arguments=[*color, *selection, *options.pytest], end_of_run=end_of_run)
    machine = Machine(image, payload, scratch / "console.log", end_of_run)
    if options.shell:
        return machine.shell()
    try:
        return machine.run(options.timeout)
    except GuestDeadError as error:
        # A kernel at fault dies again; two threads of QEMU that trod on each other are one now, which takes longer.
        say(f"{error}\nonce more, with one thread for all CPUs")
        return replace(machine, in_one_thread=True).run(options.timeout)


def main() -> int:
    """Build, boot, run; give back pytest's status."""
    options = _arguments()
    scratch = Path(tempfile.mkdtemp(prefix="brainkernel-vm-"))
    if options.keep:
        say(f"the console log and the payload disk stay in {scratch}")
    try:
        return _run(options, scratch)
    except (ImageError, MachineError) as error:
        say(str(error))
        return EXIT_NO_RESULT
    finally:
        if not options.keep:
            shutil.rmtree(scratch)


if __name__ == "__main__":
    sys.exit(main())
