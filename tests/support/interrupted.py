"""Work that is killed, or meets a full disk, before one system call of its choice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from brainkernel.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

# Through these go Path.rename and the like as well. Not `close`: the kernel closes what a killed process had open.
SYSTEM_CALLS = ("mkdir", "open", "fdopen", "fsync", "link", "rename", "unlink", "rmdir")


class KilledError(BaseException):
    """kill -9. No handler of the code catches it."""


def interrupted(monkeypatch: pytest.MonkeyPatch, at: int, error: Callable[[], BaseException], work: Callable[[], object]) -> bool:
    """Run `work`, but raise before the given call (counted from 0); False if it got through. The code may turn an OSError into a StoreError."""
    left = at

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            if left == 0:
                raise error()
            left -= 1
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for name in SYSTEM_CALLS:
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        except (KilledError, StoreError):
            return True
    return False
