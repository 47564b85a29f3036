"""The live view: what it shows at three sizes, and its keys, in the real application without a terminal."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.cli import top_view
from brainkernel.cli.terminal import columns_of
from brainkernel.cli.top_app import Daemon, ProcessList, TopApp
from brainkernel.errors import PermissionDeniedError
from brainkernel.link.control import ProcessRow, ProcessRows
from brainkernel.model import DecisionKind, DecisionRecord
from support.control_side import PROCESS_ROWS, a_limit_decision
from textual.widgets import Static

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


class Asked:
    """A daemon that notes what is asked of it."""

    def __init__(self, kind: DecisionKind = DecisionKind.LIMIT) -> None:
        self.asked: list[str] = []
        self._kind = kind

    def daemon(self) -> Daemon:
        return Daemon(
            rows=self._rows, explain=self._explain, undo=self._undo, answer=self._answer, feedback=self._feedback, pause=self._pause
        )

    def _rows(self) -> ProcessRows:
        return PROCESS_ROWS

    def _explain(self, number: int) -> DecisionRecord:
        return DecisionRecord(decision=replace(a_limit_decision(number), kind=self._kind))

    def _undo(self, number: int) -> str:
        self.asked.append(f"undo {number}")
        return "restic: restored"

    def _answer(self, number: int, allowed: bool) -> str:
        self.asked.append(f"{'approve' if allowed else 'deny'} {number}")
        return "it is limited from now on" if allowed else "it is left alone"

    def _feedback(self, number: int, good: bool) -> str:
        self.asked.append(f"{'good' if good else 'bad'} {number}")
        return "noted"

    def _pause(self, on: bool) -> str:
        self.asked.append(f"pause {on}")
        msg = "pause changes the host and needs root"
        raise PermissionDeniedError(msg)


def seen(app: TopApp) -> str:
    """All text on the screen, line by line."""
    size = app.size
    strips = [app.screen.query_one(name) for name in ("#summary", "ProcessList", "#why")]
    texts = [str(strips[0].render()), str(strips[1].render()), str(strips[2].render())]
    return f"{size.width}x{size.height}\n" + "\n".join(texts) + "\n"


def played(asked: Asked, size: tuple[int, int], play: Callable[[Pilot[None], TopApp], Awaitable[None]]) -> None:
    async def run() -> None:
        app = TopApp(asked.daemon(), PROCESS_ROWS, 3600.0)
        async with app.run_test(size=size) as pilot:
            await pilot.app.workers.wait_for_complete()
            await pilot.pause()
            await play(pilot, app)

    asyncio.run(run())


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=lambda size: str(size[0]))
def test_top_shows_the_same_at_each_size(size: tuple[int, int]) -> None:
    """Golden screens; the chosen line is marked without colour, and nothing hostile reaches the terminal."""

    async def play(_pilot: Pilot[None], app: TopApp) -> None:
        text = seen(app)
        golden = GOLDEN / f"top_screen_{size[0]}.txt"
        assert text == golden.read_text()
        assert "\x1b" not in text
        assert max(len(line) for line in text.splitlines()[1:3]) <= size[0]

    played(Asked(), size, play)


def test_keys_filter_sort_move_undo_and_pause() -> None:
    """What a person types arrives at the daemon, and its refusal is shown."""
    asked = Asked()

    async def play(pilot: Pilot[None], app: TopApp) -> None:
        rows = app.query_one(ProcessList)
        await pilot.press("u")
        await pilot.press("down")
        await pilot.press("u")
        await pilot.app.workers.wait_for_complete()
        await pilot.press("p")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "needs root" in str(app.query_one("#why", Static).render())
        await pilot.press("s")
        assert [row.pid for row in rows.lines] == [4711, 900, 77]
        await pilot.press("slash", *"mysql", "enter")
        assert [row.pid for row in rows.lines] == [900]
        await pilot.press("escape")
        assert len(rows.lines) == 3

    played(asked, (80, 24), play)

    assert asked.asked == ["undo 2", "pause True"]


async def typed(pilot: Pilot[None], app: TopApp, *keys: str) -> str:
    """What the pane says once the daemon answered."""
    await pilot.press(*keys)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    return str(app.query_one("#why", Static).render()).splitlines()[0]


def test_pending_limit_is_approved_or_denied_with_a_key() -> None:
    """A person who looks at a program has its evidence before the eyes."""
    asked = Asked(DecisionKind.PENDING)

    async def play(pilot: Pilot[None], app: TopApp) -> None:
        assert await typed(pilot, app, "a") == "! it is limited from now on"
        assert await typed(pilot, app, "d") == "! it is left alone"

    played(asked, (80, 24), play)

    assert asked.asked == ["approve 1", "deny 1"]


def test_decision_that_waits_for_nobody_is_not_approved() -> None:
    """A key pressed in error asks the daemon nothing."""
    asked = Asked()

    async def play(pilot: Pilot[None], app: TopApp) -> None:
        assert "nothing waits for your word" in await typed(pilot, app, "a")

    played(asked, (80, 24), play)

    assert asked.asked == []


def test_feedback_is_one_key_and_only_about_what_was_decided() -> None:
    """Good and bad go to the decision of the chosen process; a process that nobody judged has none."""
    asked = Asked()

    async def play(pilot: Pilot[None], app: TopApp) -> None:
        assert await typed(pilot, app, "g") == "! noted"
        assert await typed(pilot, app, "b") == "! noted"
        assert "nobody decided" in await typed(pilot, app, "down", "down", "g")

    played(asked, (80, 24), play)

    assert asked.asked == ["good 1", "bad 1"]


def test_top_of_nothing_shows_nothing() -> None:
    """An agent that just began has no window yet."""
    assert top_view.why(None, None) == ["no process is chosen"]
    assert top_view.summary(ProcessRows(), 80) == "starting | 0 processes | 0 limited | host waits 0 % | by cpu"


def test_pane_says_once_what_hurts() -> None:
    """The reason of a decision repeats its symptom, and on 24 lines there is room for the trace only without."""
    decision = a_limit_decision(1)
    assert decision.symptom is not None
    reason = f"{decision.symptom.text}, but we do not know what it is"

    lines = top_view.why(PROCESS_ROWS.rows[0], DecisionRecord(decision=replace(decision, reason=reason)))

    assert sum(decision.symptom.text in line for line in lines) == 1


@pytest.mark.parametrize("width", range(80, 220, 7))
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    """Whatever a process calls itself."""
    row = ProcessRow(
        pid=4_194_304, uid=0, comm="寿" * 15, exe="/" + "寿司" * 90, cpu_pct=12_800, wait_pct=12_800, category="system_critical", tier="rules",
        confidence=1.0, decision_id=9, limit="cpu_quota=20%", effect="寿司 " * 50,
    )  # fmt: skip

    assert columns_of(top_view.line(row, width)) <= width
    assert columns_of(top_view.header(width)) <= width
