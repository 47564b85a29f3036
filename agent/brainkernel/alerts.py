"""The daemon's alerts: figures and events in, log lines, actions and messages for the gateway out.

Conditions that make the agent act are judged here and never in the gateway, which is not to be believed; the gateway
only delivers. Nothing here waits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from brainkernel import metrics
from brainkernel.alertactions import AgentActions, CloudSwitch, Deed, StrategySwitch
from brainkernel.alerting import rulesfile
from brainkernel.alerting.engine import Alert, Engine, Standing, State
from brainkernel.alerting.outgoing import Outgoing
from brainkernel.alerting.readings import Extras, Readings
from brainkernel.alerting.rules import ActionName, Event
from brainkernel.config import DEFAULT_CONFIG_FILE
from brainkernel.errors import UsageError
from brainkernel.escape import escaped
from brainkernel.link import control
from brainkernel.link.messages import AlertDelivered, AlertMessage, Alerts, AlertsTaken
from brainkernel.model import AuditEntry, Category, DecisionKind, Mark
from brainkernel.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.asking import Asking
    from brainkernel.clock import Clock
    from brainkernel.judging import Judging
    from brainkernel.learn.latency import Breach
    from brainkernel.link.asker import Asker
    from brainkernel.metrics import Figures
    from brainkernel.model import Action, Decision, Exec, Outcome, Refusal, ReleaseResult, Suspect

WAITING_MAX = 512  # messages for a gateway that is away, some 300 KB; those beyond are counted and told of
SENT_AT_ONCE = 64
TEST_PATIENCE_NS = 12_000_000_000  # the client waits 15 s
_TEXT_LENGTH_MAX = 1_500
DEED = "alert"  # in the audit log: what an alert did inside the agent


@dataclass(slots=True)
class _Test:
    # Somebody waits to hear how a test message went.
    waiting: dict[str, str]  # message id -> channel
    deadline_ns: int
    done: Callable[[control.AlertTested], None]
    results: list[control.ChannelTested] = field(default_factory=list)


class Pausable(Protocol):
    """The agent, as far as alerts act on it."""

    @property
    def paused(self) -> bool:
        """Whether limits are paused."""
        ...

    def pause_for_alert(self) -> str:
        """Stop acting; what there is to say."""
        ...

    def resume_after_alert(self) -> str:
        """Act again, unless a person decided otherwise; what there is to say."""
        ...


@dataclass(frozen=True, slots=True)
class Outward:
    """Where alerts go. `path_of` redacts a program's path, since messages leave the host; `say` tells who is there."""

    asker: Asker
    asking: Asking
    judging: Judging
    say: Callable[[str], None]
    path_of: Callable[[Suspect], str]
    taking_back: Deed  # of the latest change of version
    log: Callable[[AuditEntry], None]


def make(config_file: Path | None, figures: Figures, clock: Clock, outward: Outward, agent: Callable[[], Pausable]) -> Alerting:
    """Put the alerts of a daemon together; `agent` is asked for later. Raises ConfigError for rules that are not valid."""
    cloud, strategy = CloudSwitch(outward.asker), StrategySwitch(outward.judging)
    deeds = {
        ActionName.PAUSE_SCHEDULING: Deed(lambda: agent().pause_for_alert(), lambda: agent().resume_after_alert()),
        ActionName.SWITCH_TO_CONSERVATIVE_MODE: Deed(strategy.on, strategy.off),
        ActionName.FALLBACK_TO_LOCAL_MODEL: Deed(cloud.off, cloud.on),
        ActionName.ROLLBACK_TO_PREVIOUS_VERSION: outward.taking_back,
    }

    def extras() -> Extras:
        return Extras(
            llm_unusable=outward.asking.unusable,
            gateway_connected=float(outward.asker.connected),
            llm_available=float(outward.asking.available),
            paused=float(agent().paused),
            false_positive_rate=figures.by_labels(metrics.QUALITY).get(("false_positive", "24h")),
            stability=figures.by_labels(metrics.STABILITY).get(()),
        )

    def acted(text: str, why: str) -> None:
        outward.say(text)
        outward.log(AuditEntry(time_ns=clock.wall_ns(), deed=DEED, text=f"{text.removeprefix('alert ')} ({why})"))

    return Alerting(
        file=(config_file or DEFAULT_CONFIG_FILE).parent / rulesfile.FILE_NAME,
        readings=Readings(figures, extras),
        actions=AgentActions(deeds, figures, acted),
        cloud=cloud,
        clock=clock,
        figures=figures,
        outward=outward,
    )


class Alerting(Report):
    """Call `tick` once per sample."""

    def __init__(
        self,
        *,
        file: Path,
        readings: Readings,
        actions: AgentActions,
        cloud: CloudSwitch,
        clock: Clock,
        figures: Figures,
        outward: Outward,
    ) -> None:
        """Read the rules. Raises ConfigError."""
        self._file = file
        self._engine = Engine(rulesfile.load(file))
        self._readings = readings
        self._actions = actions
        self._cloud = cloud
        self._asker = outward.asker
        self._clock = clock
        self._figures = figures
        self._path_of = outward.path_of
        self._say = outward.say
        self._outgoing: Outgoing[AlertMessage] = Outgoing(WAITING_MAX)
        self._tests: list[_Test] = []
        self._connected = False
        self._ids = os.urandom(8).hex()
        self._made = 0

    def tick(self) -> None:
        """Judge all conditions, do what is due, and hand messages to the gateway."""
        now_ns = self._clock.boot_ns()
        if not self._asker.connected and self._connected:
            self._outgoing.lost_connection()
        self._connected = self._asker.connected
        self._take_news(now_ns)
        values = self._readings.read(now_ns, self._engine.names)
        for alert in (*self._engine.evaluate(values, now_ns), *self._engine.rests(now_ns)):
            self._tell(alert, now_ns)
        self._actions.tick(now_ns)
        self._cloud.refresh()
        self._send()

    def reload(self) -> None:
        """Read the rules again. Raises ConfigError, and the old ones stay."""
        now_ns = self._clock.boot_ns()
        for alert in self._engine.replace(rulesfile.load(self._file)):
            self._tell(alert, now_ns)

    def states(self) -> control.AlertStates:
        """How each rule stands."""
        return control.AlertStates(str(self._file), tuple(_state_of(s, self._clock.boot_ns()) for s in self._engine.standings))

    def test(self, name: str, done: Callable[[control.AlertTested], None]) -> None:
        """Send a test message by each channel of a rule. Raises UsageError where there is no such rule."""
        alert = self._engine.test_of(name)
        if alert is None:
            names = ", ".join(s.rule.name for s in self._engine.standings) or f"none: {self._file} has no rules"
            msg = f"there is no alert rule {escaped(name, 80)}; there are: {names}"
            raise UsageError(msg)
        now_ns = self._clock.boot_ns()
        sent = self._tell(alert, now_ns)
        test = _Test(sent, now_ns + TEST_PATIENCE_NS, done)
        if not self._asker.connected:
            test.results = [control.ChannelTested(c, delivered=False, text="no gateway is connected") for c in sent.values()]
            test.waiting = {}
        self._tests.append(test)
        self._send()
        self._end_tests(now_ns)

    # What follows is told by the agent, as to any other report.

    def event(self, event: Exec, *, passed: bool) -> None:
        """Starts become decisions, and are told then."""

    def decision(self, decision: Decision) -> None:
        """A suspicious program, one with another user's rights, or one that would have been limited."""
        suspect, verdict = decision.suspect, decision.verdict
        if verdict.category is Category.SUSPICIOUS:
            self._happened(Event.SUSPICIOUS_EXEC, decision, f"is suspicious ({100 * verdict.confidence:.0f} % sure)")
        if Mark.SETUID in suspect.evidence.marks and not suspect.anomalous:
            self._happened(Event.NEW_SETUID, decision, "is new and runs with another user's rights")
        if decision.kind is DecisionKind.LIMIT and not decision.acts:
            self._happened(Event.LIMIT_PROPOSED, decision, f"would have been limited: {decision.limit}")

    def action(self, decision: Decision, action: Action) -> None:
        """A limit stands."""
        self._happened(Event.LIMIT_APPLIED, decision, f"was limited: {action.limit}")

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """A limit could not be set."""
        self._happened(Event.LIMIT_NOT_APPLIED, decision, f"was not limited: {refusal.rule}")

    def released(self, action: Action, result: ReleaseResult, why: str) -> None:
        """A limit ended. What is known of it here is its name."""
        text = f"{escaped(action.comm)} (pid {action.target.tgid}, decision {action.id}) is free again: {result.value}, {why}"
        self._raise(Event.LIMIT_RELEASED, action.comm, text)

    def outcome(self, decision: Decision, outcome: Outcome) -> None:
        """A limit was measured."""
        if not outcome.helped:
            self._happened(Event.LIMIT_USELESS, decision, "was limited and that helped nobody")

    def breach(self, breach: Breach) -> None:
        """A latency budget was not kept."""
        self._raise(Event.BUDGET_BREACH, breach.budget, breach.text)

    def anomaly(self, name: str, text: str) -> None:
        """A figure of ours is unlike itself."""
        self._raise(Event.ANOMALY, name, text)

    def notice(self, text: str) -> None:
        """Notices are for people who are there."""

    def _happened(self, event: Event, decision: Decision, what: str) -> None:
        if not any(s.rule.on is event for s in self._engine.standings):
            return  # redaction is worth some 0.1 ms
        path = escaped(self._path_of(decision.suspect), 300)
        self._raise(event, path, f"{path} (pid {decision.suspect.key.tgid}, decision {decision.id}) {what}")

    def _raise(self, event: Event, subject: str, text: str) -> None:
        now_ns = self._clock.boot_ns()
        for alert in self._engine.event(event, subject, text, now_ns):
            self._tell(alert, now_ns)

    def _tell(self, alert: Alert, now_ns: int) -> dict[str, str]:
        # Returns the messages made, by id, with their channels.
        rule, sent = alert.rule, {}
        self._figures.add(metrics.ALERTS, rule.name, alert.state.value)
        if (rule.condition is not None or rule.lasts_ns is not None) and alert.state is not State.TEST:
            self._figures.set(metrics.ALERT_FIRING, float(alert.state is not State.RESOLVED), rule.name)
        for action in rule.actions:
            if action is ActionName.LOG_ALERT:
                self._log(alert)
            elif action.channel:
                message = self._message_of(alert, action.channel)
                if self._outgoing.add(message):
                    sent[message.id] = action.channel
                else:
                    self._figures.add(metrics.ALERT_MESSAGES, action.channel, "no_room")
            elif alert.state is State.RESOLVED:
                self._actions.withdraw(action, rule.name, now_ns, alert.text)
            elif alert.state is not State.TEST and not alert.late:
                self._actions.ask(action, rule, now_ns, alert.text)
        return sent

    def _log(self, alert: Alert) -> None:
        # Only here, and not through logging too: one event is one line.
        more = f" ({alert.count} times since it was told)" if alert.late else ""
        self._say(f"alert {alert.rule.name} {alert.state.value} ({alert.rule.severity.value}): {alert.text}{more}")

    def _message_of(self, alert: Alert, channel: str) -> AlertMessage:
        self._made += 1
        text = f"{alert.text}. {alert.rule.description}" if alert.rule.description else alert.text
        if held_back := self._outgoing.take_held_back():
            text += f". Before it {held_back} messages had no room and were dropped"
        identifier = f"{self._ids}{self._made:08x}"
        return AlertMessage(
            id=identifier,
            channel=channel,  # type: ignore[arg-type] # the gateway's schema checks it
            rule=alert.rule.name,
            state=alert.state.value,
            severity=alert.rule.severity.value,
            text=text[:_TEXT_LENGTH_MAX],
            fingerprint=identifier if alert.state is State.TEST else alert.fingerprint,  # each test has somebody who waits
            time_ns=self._clock.wall_ns(),
            count=alert.count,
        )

    def _send(self) -> None:
        now_ns = self._clock.boot_ns()
        while self._asker.connected and (batch := self._outgoing.unsent(SENT_AT_ONCE, now_ns)):
            if not self._asker.tell(Alerts(tuple(batch))):
                return
            self._outgoing.sent(batch, now_ns)

    def _take_news(self, now_ns: int) -> None:
        for news in self._asker.delivery_news():
            if isinstance(news, AlertsTaken):
                unknown = self._outgoing.acknowledged(news.ids)
                self._figures.add(metrics.PROTOCOL_ERRORS, "gateway", "unknown_id", by=unknown)
            else:
                self._take_result(news)
        self._end_tests(now_ns)

    def _take_result(self, news: AlertDelivered) -> None:
        for test in self._tests:
            if (channel := test.waiting.pop(news.id, None)) is not None:
                test.results.append(control.ChannelTested(channel, delivered=news.delivered, text=escaped(news.text)))

    def _end_tests(self, now_ns: int) -> None:
        for test in list(self._tests):
            if test.waiting and now_ns >= test.deadline_ns:
                late = [control.ChannelTested(c, delivered=False, text="the gateway did not answer in time") for c in test.waiting.values()]
                test.results += late
                test.waiting.clear()
            if not test.waiting:
                self._tests.remove(test)
                test.done(control.AlertTested(tuple(test.results)))


def _state_of(standing: Standing, now_ns: int) -> control.AlertState:
    rule = standing.rule
    pending = rule.condition is not None and standing.since_ns is not None and not standing.firing
    return control.AlertState(
        name=rule.name,
        severity=rule.severity.value,
        state="firing" if standing.firing else "pending" if pending else "waits" if rule.on else "quiet",
        rule=rule.condition.text if rule.condition else f"on {rule.on.value if rule.on else ''}",
        figures=standing.values,
        since_s=None if standing.since_ns is None else (now_ns - standing.since_ns) / 1e9,
        told=standing.told,
        actions=tuple(a.value for a in rule.actions),
    )
