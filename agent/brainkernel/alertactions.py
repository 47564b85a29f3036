"""What alerts may do inside the agent: each once however many alerts ask, not too often, and undone with the last of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brainkernel.learn.strategy import Strategy
from brainkernel.link.messages import LocalModelOnly
from brainkernel.metrics import ALERT_ACTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from brainkernel.alerting.rules import ActionName, AlertRule
    from brainkernel.judging import Judging
    from brainkernel.link.asker import Asker
    from brainkernel.link.messages import Hello
    from brainkernel.metrics import Figures


@dataclass(frozen=True, slots=True)
class Deed:
    """One action of the agent. Both are idempotent and return what there is to say; `undo` is None where nothing can be undone."""

    do: Callable[[], str]
    undo: Callable[[], str] | None = None


@dataclass(slots=True)
class _Use:
    holders: dict[str, tuple[int, str]] = field(default_factory=dict)  # rule -> its cool-down, and why it fired
    done: bool = False
    undone_ns: int | None = None


class AgentActions:
    """Keeps which alerts hold which action. `say` gets one sentence for each thing done or not done, and its cause."""

    def __init__(self, deeds: Mapping[ActionName, Deed], figures: Figures, say: Callable[[str, str], None]) -> None:
        self._deeds = deeds
        self._figures = figures
        self._say = say
        self._uses: dict[ActionName, _Use] = {}

    def ask(self, name: ActionName, rule: AlertRule, now_ns: int, why: str) -> None:
        """An alert asks for an action; within the cool-down after its last undo it waits."""
        use = self._uses.setdefault(name, _Use())
        waits_already = not use.done and rule.name in use.holders
        use.holders[rule.name] = (rule.cooldown_ns, why)
        if use.done:
            self._figures.add(ALERT_ACTIONS, name.value, "held_already")
        elif waits_already:
            self._figures.add(ALERT_ACTIONS, name.value, "cooling")
        elif self._cools(use, now_ns):
            self._count(name, "cooling", f"alert {rule.name}: {name.value} was undone a moment ago and waits for its cool-down", why)
        else:
            self._do(name, use, rule.name)

    def withdraw(self, name: ActionName, rule_name: str, now_ns: int, why: str) -> None:
        """An alert resolved: with the last holder the action is undone, where it can be."""
        use = self._uses.get(name)
        if use is None or use.holders.pop(rule_name, None) is None or use.holders or not use.done:
            return
        use.done, use.undone_ns = False, now_ns
        if (undo := self._deeds[name].undo) is not None:
            self._count(name, "undone", f"alert {rule_name} resolved: {name.value}: {undo()}", why)

    def tick(self, now_ns: int) -> None:
        """Do what waited for a cool-down and is still asked for."""
        for name, use in self._uses.items():
            if use.holders and not use.done and not self._cools(use, now_ns):
                self._do(name, use, next(iter(use.holders)))

    def _do(self, name: ActionName, use: _Use, rule_name: str) -> None:
        use.done = True
        self._count(name, "done", f"alert {rule_name}: {name.value}: {self._deeds[name].do()}", use.holders[rule_name][1])

    @staticmethod
    def _cools(use: _Use, now_ns: int) -> bool:
        return use.undone_ns is not None and now_ns - use.undone_ns < min(
            (cooldown_ns for cooldown_ns, _ in use.holders.values()), default=0
        )

    def _count(self, name: ActionName, result: str, text: str, why: str) -> None:
        self._figures.add(ALERT_ACTIONS, name.value, result)
        self._say(text, why)


class StrategySwitch:
    """The conservative strategy for as long as alerts ask for it. A strategy that a person forced stays."""

    def __init__(self, judging: Judging) -> None:
        self._judging = judging

    def on(self) -> str:
        """Demand it."""
        self._judging.demand(Strategy.CONSERVATIVE)
        if self._judging.strategist.is_forced:
            return f"the strategy {self._judging.strategist.strategy.value} was forced by a person and stays"
        return "the strategy is conservative until the alert resolves"

    def off(self) -> str:
        """Follow the rules again, unless a person forced another one meanwhile."""
        self._judging.demand(None)
        if self._judging.strategist.is_forced:
            return "left as a person set it"
        return "the strategy follows the rules again"


class CloudSwitch:
    """Whether the gateway may ask a cloud model. Each one that greets is told, also that it may: an earlier daemon may have forbidden it."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._off = False
        self._told: Hello | None = None

    def off(self) -> str:
        """Ask local models only."""
        self._off = True
        self._say()
        return "no cloud model is asked"

    def on(self) -> str:
        """Ask as the configuration says."""
        self._off = False
        self._say()
        return "models are asked as configured"

    def refresh(self) -> None:
        """Tell a gateway that greeted us since."""
        if self._asker.hello is not None and self._asker.hello is not self._told:
            self._say()

    def _say(self) -> None:
        if self._asker.tell(LocalModelOnly(self._off)):
            self._told = self._asker.hello
