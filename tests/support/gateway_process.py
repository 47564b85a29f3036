"""The real gateway in a process of its own, and the daemon's end of its socket."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from brainkernel import metrics
from brainkernel.clock import SystemClock
from brainkernel.link.asker import Answered, Asker, Late, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534
PATIENCE_S = 60.0  # a bound for a machine that is busy, not an expectation

_SCRIPT = """
import pathlib, sys
import msgspec
from brainkernel.config import Config
from brainkernel.errors import BrainKernelError
from brainkernel.gateway import service
path, config, uid, user, parent, places = sys.argv[1:7]
try:
    sys.exit(service.serve(pathlib.Path(path), msgspec.json.decode(config.encode(), type=Config), daemon_uid=int(uid),
        drop_privileges_to=int(user) if user.isdecimal() else user or None, dies_with_parent=int(parent) or None,
        state_dir=pathlib.Path(places) / "gateway" if places else None,
        notify_dirs=(pathlib.Path(places) / "notify.d",) if places else ()))
except BrainKernelError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


class DaemonEnd:
    """The daemon's asker with the loop that the daemon would run."""

    def __init__(self, path: Path) -> None:
        self.figures = metrics.Figures()
        self.clock = SystemClock()
        uids = {NOBODY, os.getuid()}
        self.asker = Asker(path, allows=lambda p: p.uid in uids, figures=self.figures, snapshot=self.figures.snapshot, clock=self.clock)
        self.outcomes: list[Answered | Late | TimedOut] = []

    def until(self, reached: Callable[[], Any]) -> Any:
        """Serve the socket until something is true; AssertionError if it never is."""
        ends = time.monotonic() + PATIENCE_S
        while not (result := reached()):
            assert time.monotonic() < ends, "waited in vain"
            select.select([self.asker], [], [], 0.05)
            self.asker.on_readable()
            self.outcomes += self.asker.poll(self.clock.boot_ns())
        return result


@contextlib.contextmanager
def daemon_end(path: Path) -> Iterator[DaemonEnd]:
    end = DaemonEnd(path)
    try:
        yield end
    finally:
        end.asker.close()


@contextlib.contextmanager
def gateway(
    path: Path,
    config: dict[str, Any] | None = None,
    *,
    daemon_uid: int | None = None,
    user: str = "nobody",
    environment: dict[str, str] | None = None,
    places: Path | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run the gateway against the socket at `path`; metrics on any free port unless `config` says otherwise.

    In `places` are its state and notify.d.
    """
    settings = {"http": {"listen": "127.0.0.1:0"}} | (config or {})
    arguments = [
        str(path),
        msgspec.json.encode(settings).decode(),
        str(os.getuid() if daemon_uid is None else daemon_uid),
        user,
        str(os.getpid()),
        str(places or ""),
    ]
    kept = {k: v for k, v in os.environ.items() if k not in ("GROQ_API_KEY", "GROQ_BASE_URL")}
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", _SCRIPT, *arguments],
        env=kept | {"OLLAMA_HOST": "127.0.0.1:1"} | (environment or {}),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_line(process: subprocess.Popen[str], beginning: str) -> str:
    """The next line of stderr that begins like this; AssertionError if the process ends before."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(beginning):
            return line.strip()
    msg = f"the gateway ended without saying {beginning!r}"
    raise AssertionError(msg)


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 # a loopback URL of the test's own
        return str(response.read().decode())
