"""What an alert rule may name: figures, events, severities, actions; and the rule itself."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainkernel.alerting.expression import Expression

NS_PER_S = 1_000_000_000
COOLDOWN_NS = 300 * NS_PER_S
LASTS_NS = 600 * NS_PER_S


class Severity(enum.StrEnum):
    """How bad it is, lightest first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Event(enum.StrEnum):
    """What a rule may wait for with `on`."""

    SUSPICIOUS_EXEC = "suspicious_exec"
    NEW_SETUID = "new_setuid"
    LIMIT_PROPOSED = "limit_proposed"
    LIMIT_APPLIED = "limit_applied"
    LIMIT_RELEASED = "limit_released"
    LIMIT_NOT_APPLIED = "limit_not_applied"
    LIMIT_USELESS = "limit_useless"
    BUDGET_BREACH = "budget_breach"
    ANOMALY = "anomaly"


EVENT_HELP: dict[Event, str] = {
    Event.SUSPICIOUS_EXEC: "a program was judged suspicious",
    Event.NEW_SETUID: "a program new to this host runs with another user's rights (setuid)",
    Event.LIMIT_PROPOSED: "mode observe: a program would have been limited",
    Event.LIMIT_APPLIED: "a program was limited, or limited further",
    Event.LIMIT_RELEASED: "a limit ended",
    Event.LIMIT_NOT_APPLIED: "a limit was decided and could not be set",
    Event.LIMIT_USELESS: "a limit was measured and helped nobody",
    Event.BUDGET_BREACH: "a latency budget was not kept, by one decision or by the quantile of 5 minutes",
    Event.ANOMALY: "one of the agent's own figures left what it is used to, or is back (see `brainkernel trends`)",
}


class ActionName(enum.StrEnum):
    """What a rule may have done."""

    LOG_ALERT = "log_alert"
    NOTIFY_SLACK = "notify_slack"
    NOTIFY_PAGERDUTY = "notify_pagerduty"
    NOTIFY_OPERATIONS = "notify_operations"
    NOTIFY_WEBHOOK = "notify_webhook"
    SWITCH_TO_CONSERVATIVE_MODE = "switch_to_conservative_mode"
    PAUSE_SCHEDULING = "pause_scheduling"
    ROLLBACK_TO_PREVIOUS_VERSION = "rollback_to_previous_version"
    FALLBACK_TO_LOCAL_MODEL = "fallback_to_local_model"

    @property
    def channel(self) -> str:
        """The channel a notification goes to; "" for what is no notification."""
        return self.value.removeprefix("notify_") if self.value.startswith("notify_") else ""

    @property
    def acts(self) -> bool:
        """Whether it changes how the agent works; the others only tell."""
        return self is not ActionName.LOG_ALERT and not self.channel


ACTION_HELP: dict[ActionName, str] = {
    ActionName.LOG_ALERT: "one line in the journal, or on the terminal",
    ActionName.NOTIFY_SLACK: "send it to the channel slack",
    ActionName.NOTIFY_PAGERDUTY: "send it to the channel pagerduty",
    ActionName.NOTIFY_OPERATIONS: "send it to the channel operations",
    ActionName.NOTIFY_WEBHOOK: "send it to the channel webhook",
    ActionName.SWITCH_TO_CONSERVATIVE_MODE: "take the conservative strategy until the alert resolves",
    ActionName.PAUSE_SCHEDULING: "set no limit and release those that stand, until the alert resolves",
    ActionName.ROLLBACK_TO_PREVIOUS_VERSION: "go back to the previous version of policy, rules and model",
    ActionName.FALLBACK_TO_LOCAL_MODEL: "ask no cloud model until the alert resolves",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """One rule: either a condition over figures or an event, never both."""

    name: str
    severity: Severity
    actions: tuple[ActionName, ...]
    condition: Expression | None = None
    on: Event | None = None
    for_ns: int = 0  # the condition must hold so long
    cooldown_ns: int = COOLDOWN_NS  # an action, and an event of the same program, at most once in this time
    lasts_ns: int | None = None  # an event has no end: so long after the latest one the agent is again as before
    description: str = ""  # goes with each message
