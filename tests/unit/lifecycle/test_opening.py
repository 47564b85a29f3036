"""The loader that opens while the rest is being put together."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from brainkernel import opening
from brainkernel.clock import SimulatedClock
from brainkernel.config import Agent
from brainkernel.errors import SenseError, StoreError, UsageError


class FakeLoader:
    """Opens where it is told to, and notes who closed it."""

    name = "fake"
    limits = ()

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.opened_by: threading.Thread | None = None
        self.closed = 0

    def open(self) -> None:
        self.opened_by = threading.current_thread()
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1


def an_opening(monkeypatch: pytest.MonkeyPatch, loader: FakeLoader, wanted: str = "fake") -> opening.Opening:
    def only_this(**_roots: Any) -> dict[str, Any]:
        return {"fake": lambda: loader}

    monkeypatch.setattr(opening, "live_loaders", only_this)
    return opening.Opening(msgspec.structs.replace(Agent(), loader=wanted), SimulatedClock(), Path("/proc"))


def test_loader_is_opened_beside_and_closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets it open, however early or late."""
    loader = FakeLoader()

    with an_opening(monkeypatch, loader) as opened:
        found: list[object] = [opened.chosen().loader, opened.chosen().loader]
        closed_meanwhile = loader.closed

    assert found == [loader, loader]
    assert closed_meanwhile == 0
    assert loader.opened_by is not threading.main_thread()
    assert loader.closed == 1


def test_loader_that_nobody_asked_for_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that fails elsewhere leaves nothing in the kernel."""
    loader = FakeLoader()

    def fails() -> None:
        raise StoreError

    with pytest.raises(StoreError), an_opening(monkeypatch, loader):
        fails()

    assert loader.closed == 1


@pytest.mark.parametrize(("wanted", "error"), [("fake", SenseError), ("other", UsageError)])
def test_what_went_wrong_is_told_to_who_asks(monkeypatch: pytest.MonkeyPatch, wanted: str, error: type[Exception]) -> None:
    """As if the loader had been opened there."""
    with an_opening(monkeypatch, FakeLoader(SenseError("refused")), wanted) as opened, pytest.raises(error):
        opened.chosen()
