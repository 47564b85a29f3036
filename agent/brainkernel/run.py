"""The agent in the foreground: the daemon in this process, the gateway as a child without privileges."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from brainkernel import config as configuration
from brainkernel.clock import SystemClock
from brainkernel.daemon import Daemon, beat_interval_s, notify_service_manager
from brainkernel.errors import BrainKernelError, PermissionDeniedError
from brainkernel.opening import Opening
from brainkernel.priority import share_nice_with_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.config import Config
    from brainkernel.link.control import Summary
    from brainkernel.report import Report

PROC = Path("/proc")
UNPRIVILEGED_USER = "nobody"
GATEWAY_PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `brainkernel run` and `brainkernel daemon` were told. None: as the configuration says."""

    config_file: Path | None = None
    state_dir: Path = configuration.DEFAULT_STATE_DIR
    runtime_dir: Path = configuration.DEFAULT_RUNTIME_DIR
    seconds: float | None = None
    mode: str | None = None
    loader: str | None = None
    all_events: bool = False
    gateway: bool = True  # start one as a child; a service has its own

    def config(self) -> Config:
        """The configuration file with the options over it. Raises ConfigError."""
        config = configuration.load(self.config_file)
        wanted = {
            "mode": self.mode or config.agent.mode,
            "loader": self.loader or config.agent.loader,
            "all_events": self.all_events or config.agent.all_events,
        }
        return msgspec.structs.replace(config, agent=msgspec.structs.replace(config.agent, **wanted))


def run_foreground(options: RunOptions, report: Report) -> Summary:
    """Run until told to stop, or for `options.seconds`; every limit is released at the end.

    Raises ConfigError, PermissionDeniedError, and SenseError where no loader can see events.
    """
    config = options.config()
    if os.geteuid() != 0:
        msg = "the agent reads the kernel's events and writes limits: run it as root (classify, redact, prompt and replay need no root)"
        raise PermissionDeniedError(msg)
    share_nice_with_session(PROC)
    clock = SystemClock()
    with _only_one(options.runtime_dir), Opening(config.agent, clock, PROC) as opening:
        with _uncollected():
            from brainkernel.composition import Paths, compose  # noqa: PLC0415 # the whole agent: while the loader opens

            paths = Paths(state_dir=options.state_dir, runtime_dir=options.runtime_dir, config_file=options.config_file)
            agent = compose(options.config, paths, clock, report, opening.chosen)
        with _gateway(options) if options.gateway else contextlib.nullcontext():
            notify_service_manager("READY=1")
            released = Daemon(agent, clock, config.agent.sample_interval_s, beat_interval_s(os.environ)).run(options.seconds)
    if not released:
        report.notice("some limits could not be released: run `brainkernel release --all`")
    return agent.summary()


# What a start makes is there to stay: the garbage collector walks through it in vain, now and with each full round later.
@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    gc.disable()
    try:
        yield
        gc.freeze()
        _trim()
    finally:
        gc.enable()


# What the start has freed (the kernel's types, the rules' YAML) goes back to the system: 3 MB that glibc would keep.
def _trim() -> None:
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


@contextlib.contextmanager
def _only_one(runtime_dir: Path) -> Iterator[None]:
    # The lock ends with the process, however it ends; the file stays and means nothing.
    try:
        runtime_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
        lock = os.open(runtime_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        msg = f"{runtime_dir}: {error.strerror}; name another directory with --runtime-dir"
        raise BrainKernelError(msg) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        msg = f"another agent runs already (pid {pid}) in {runtime_dir}; `brainkernel status` asks it how it fares"
        raise BrainKernelError(msg) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    try:
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _gateway(options: RunOptions) -> Iterator[None]:
    # It imports first and drops its privileges itself: the virtual environment may lie where nobody cannot read.
    command = [sys.executable, "-m", "brainkernel", "gateway", "--runtime-dir", str(options.runtime_dir)]
    command += ["--state-dir", str(options.state_dir / "gateway")]  # opened before it gives up its rights
    # Our pid is told, not asked for: when it asks, we may be dead and its parent another.
    command += ["--drop-privileges-to", UNPRIVILEGED_USER, "--end-with", str(os.getpid())]
    if options.config_file is not None:
        command += ["--config", str(options.config_file)]
    # A Ctrl-C at the terminal is for the daemon, which then ends the gateway itself.
    # It must find what we are made of, also where that lies in a private place (/usr/lib/brainkernel).
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0)
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(GATEWAY_PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
