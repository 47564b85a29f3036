"""What happens around the agent: programs that are known, programs that nobody has met, command lines that never repeat."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = ("/bin/true", "/bin/echo", "/bin/ls", "/bin/cat", "/usr/bin/id", "/usr/bin/env")
FOLDERS = 64  # new programs are updates of some, and strangers elsewhere
SHELL = "/bin/sh"


class Load:
    """Starts programs, one after another, in a thread, until it is told to stop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.started = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            for program in KNOWN:
                self._start(program, "--version")
            self._start(SHELL, "-c", f": job {number}")
            self._start_new(number)

    # A copy is a file of its own: to the agent a program that it has never met.
    def _start_new(self, number: int) -> None:
        program = self._folder / f"v{number % FOLDERS}" / f"tool-{number}"
        program.parent.mkdir(exist_ok=True)
        shutil.copy("/bin/true", program)
        self._start(str(program))
        program.unlink()

    def _start(self, program: str, *arguments: str) -> None:
        quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]
        os.waitpid(os.posix_spawn(program, [program, *arguments], {"PATH": "/usr/bin:/bin"}, file_actions=quiet), 0)
        self.started += 1
