"""Something that is done again and again, in a thread of its own, while a load runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Meanwhile:
    """Does it each `every_s` until the end of the block, which raises what it raised: a figure of half a load is none."""

    def __init__(self, every_s: float, do: Callable[[], None]) -> None:
        self._every_s = every_s
        self._do = do
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._error is not None and raised[0] is None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._ended.wait(self._every_s):
                self._do()
        except Exception as error:  # noqa: BLE001 # it is raised at the end of the block
            self._error = error
