"""When the agent comes back to the loader."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from brainkernel.agent import DRAIN_DUE_S, DRAIN_MAX, QUIET_DUE_S, Agent, Parts
from brainkernel.clock import SimulatedClock


def an_agent(waiting: list[int]) -> Agent:
    """An agent whose loader has this many events for each time that it is asked; none of its other parts has work."""

    def drain(limit: int) -> list[str]:
        assert limit == DRAIN_MAX
        return ["event"] * waiting.pop(0)

    parts: Any = SimpleNamespace(
        clock=SimulatedClock(),
        chosen=SimpleNamespace(loader=SimpleNamespace(drain=drain)),
        starts=SimpleNamespace(on_event=lambda _event: None, collect=lambda: None),
        switch=SimpleNamespace(look=lambda: False),
        healing=SimpleNamespace(step=lambda: None, busy=False),
        asker=SimpleNamespace(hello=None, on_readable=None),
        limiter=None,
        limits=SimpleNamespace(take_results=None),
        pressure=SimpleNamespace(trigger=None),
        asking=SimpleNamespace(busy=False),
    )
    return Agent(cast("Parts", parts))


@pytest.mark.parametrize(("events", "due_s"), [(DRAIN_MAX, 0), (DRAIN_MAX - 1, DRAIN_DUE_S), (1, DRAIN_DUE_S), (0, QUIET_DUE_S)])
def test_agent_comes_back_at_once_while_more_may_wait(events: int, due_s: float) -> None:
    """Known programs wake nobody: a batch that was cut would otherwise wait for a quarter of a second, and the ring fill up."""
    assert an_agent([events]).between() == due_s


def test_agent_looks_four_times_a_second_only_while_something_comes() -> None:
    """On a quiet host it is woken once a second; the first event, by whatever wakeup, makes it look more often again."""
    agent = an_agent([0, 0, 1, 0, 0])
    before = agent.between(), agent.between()
    (loader,) = [w for w in agent.sources() if w.source is agent._p.chosen.loader]
    loader.callback()

    assert before == (QUIET_DUE_S, QUIET_DUE_S)
    assert (agent.between(), agent.between()) == (DRAIN_DUE_S, QUIET_DUE_S)
