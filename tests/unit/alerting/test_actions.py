"""What alerts do inside the agent: once, undone, not too often, and a person wins."""

from __future__ import annotations

from brainkernel.alertactions import AgentActions, CloudSwitch, Deed
from brainkernel.alerting.rules import ActionName, AlertRule, Severity
from brainkernel.metrics import ALERT_ACTIONS, Figures

S = 10**9
PAUSE = ActionName.PAUSE_SCHEDULING


def a_rule(name: str) -> AlertRule:
    return AlertRule(name=name, severity=Severity.ERROR, actions=(PAUSE,), cooldown_ns=60 * S)


class Stage:
    """An agent with one action."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.said: list[str] = []
        self.figures = Figures()
        self.actions = AgentActions({PAUSE: Deed(self._do, self._undo)}, self.figures, lambda text, _why: self.said.append(text))

    def _do(self) -> str:
        self.done.append("do")
        return "done"

    def _undo(self) -> str:
        self.done.append("undo")
        return "undone"


def test_action_is_done_once_and_undone_with_the_last_alert() -> None:
    """Two alerts that ask for the same are one act."""
    stage = Stage()
    stage.actions.ask(PAUSE, a_rule("a"), S, "x > 1")
    stage.actions.ask(PAUSE, a_rule("b"), 2 * S, "x > 1")
    stage.actions.ask(PAUSE, a_rule("a"), 3 * S, "x > 1")
    stage.actions.withdraw(PAUSE, "a", 4 * S, "x > 1")
    stage.actions.withdraw(PAUSE, "stranger", 4 * S, "x > 1")
    assert stage.done == ["do"]

    stage.actions.withdraw(PAUSE, "b", 5 * S, "x > 1")

    assert stage.done == ["do", "undo"]
    assert stage.figures.value(ALERT_ACTIONS, PAUSE.value, "undone") == 1


def test_action_waits_for_its_cooldown_and_is_done_then() -> None:
    """A flapping alert does not make the agent flap."""
    stage = Stage()
    stage.actions.ask(PAUSE, a_rule("a"), S, "x > 1")
    stage.actions.withdraw(PAUSE, "a", 2 * S, "x > 1")

    stage.actions.ask(PAUSE, a_rule("a"), 3 * S, "x > 1")
    stage.actions.tick(30 * S)
    assert stage.done == ["do", "undo"]
    stage.actions.tick(62 * S)

    assert stage.done == ["do", "undo", "do"]


def test_action_that_waits_for_its_cooldown_says_so_once() -> None:
    """However often the alert asks meanwhile."""
    stage = Stage()
    stage.actions.ask(PAUSE, a_rule("a"), S, "x > 1")
    stage.actions.withdraw(PAUSE, "a", 2 * S, "x > 1")

    for second in range(3, 30):
        stage.actions.ask(PAUSE, a_rule("a"), second * S, "x > 1")

    assert [text for text in stage.said if "cool-down" in text] == [
        "alert a: pause_scheduling was undone a moment ago and waits for its cool-down"
    ]
    assert stage.figures.value(ALERT_ACTIONS, PAUSE.value, "cooling") == 27


class Gateway:
    """As much of an asker as the switch needs."""

    def __init__(self) -> None:
        self.hello: object = object()
        self.told: list[bool] = []

    def tell(self, message: object) -> bool:
        self.told.append(message.on)  # type: ignore[attr-defined]
        return True


def test_gateway_that_comes_back_is_told_again() -> None:
    """A restart of the gateway does not bring the cloud model back, and one that a daemon before us forbade it may ask it again."""
    gateway = Gateway()
    switch = CloudSwitch(gateway)  # type: ignore[arg-type]

    switch.off()
    switch.refresh()
    gateway.hello = object()
    switch.refresh()
    switch.refresh()
    switch.on()
    gateway.hello = object()
    switch.refresh()

    assert gateway.told == [True, True, False, False]
