"""An alert from its figures to what it does and says, and back: through the daemon's rules, actions and messages together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from brainkernel import alerts, metrics
from brainkernel.alerting.engine import RESOLVE_NS
from brainkernel.clock import SimulatedClock
from brainkernel.link.messages import AlertsTaken
from brainkernel.metrics import Figures

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.link.messages import Alerts

S = 10**9
RULE = 'alert_rules: [{{name: many, condition: "limits_active > 3", severity: critical, actions: [{actions}]}}]\n'


class Gateway:
    """The asker and the asking, as far as alerts need them; keeps what it is told and confirms it."""

    connected, available, unusable, hello = True, False, 0, None

    def __init__(self) -> None:
        self.told: list[str] = []
        self._news: list[AlertsTaken] = []

    def tell(self, message: Alerts) -> bool:
        self.told += [f"{alert.channel} {alert.state}" for alert in message.alerts]
        self._news.append(AlertsTaken(tuple(alert.id for alert in message.alerts)))
        return True

    def delivery_news(self) -> list[AlertsTaken]:
        news, self._news = self._news, []
        return news


class Agent:
    """As much of an agent as alerts act on."""

    paused = False

    def pause_for_alert(self) -> str:
        self.paused = True
        return "paused"

    def resume_after_alert(self) -> str:
        self.paused = False
        return "resumed"


class Stage:
    def __init__(self, directory: Path) -> None:
        self.gateway, self.agent, self.figures, self.clock = Gateway(), Agent(), Figures(), SimulatedClock(now_boot_ns=S)
        self.file = directory / "alerts.yaml"
        self.file.write_text(RULE.format(actions="notify_webhook, pause_scheduling"))
        part = cast("Any", self.gateway)
        outward = alerts.Outward(asker=part, asking=part, judging=part, say=lambda _text: None, path_of=part, taking_back=part)
        self.alerting = alerts.make(directory / "brainkernel.toml", self.figures, self.clock, outward, lambda: self.agent)

    def tick(self, limits: int, after_ns: int = S) -> None:
        self.figures.set(metrics.LIMITS_ACTIVE, limits)
        self.clock.advance_to(self.clock.boot_ns() + after_ns)
        self.alerting.tick()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_alert_that_resolves_says_so_and_undoes_what_it_did(stage: Stage) -> None:
    """Paused and told while it fires; resumed, and told once more, when it is over."""
    stage.tick(limits=9)
    fired = (stage.agent.paused, list(stage.gateway.told))
    stage.tick(limits=0)
    still = stage.agent.paused
    stage.tick(limits=0, after_ns=RESOLVE_NS)

    assert fired == (True, ["webhook firing"])
    assert (still, stage.agent.paused) == (True, False)
    assert stage.gateway.told == ["webhook firing", "webhook resolved"]


def test_action_that_is_struck_out_while_its_alert_fires_is_undone(stage: Stage) -> None:
    """At the reload; the alert goes on with the actions that it still has."""
    stage.tick(limits=9)
    stage.file.write_text(RULE.format(actions="notify_webhook"))

    stage.alerting.reload()
    stage.tick(limits=9)

    assert not stage.agent.paused
    assert stage.gateway.told == ["webhook firing", "webhook resolved", "webhook firing"]
