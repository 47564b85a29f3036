"""What the daemon and the gateway say to each other, and what a client says to the daemon.

The daemon listens on `gateway.sock` and the gateway connects, so that the privileged side owns the path. To the
daemon every message of the gateway is a claim: an `Answers` whose id it did not ask, asked long ago, or has had
already is dropped and counted, and a verdict in it is a proposal inside `ProposedVerdict` and nothing more.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from brainkernel.model import Category  # noqa: TC001 # msgspec reads the annotations at run time

GATEWAY_SOCKET = "gateway.sock"  # in the runtime directory

ShortText = Annotated[str, Meta(max_length=512)]
LongText = Annotated[str, Meta(max_length=4096)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # as SQLite has them; JSON goes on to 2**64 - 1


class Question(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One program to be judged, already redacted and bounded by the daemon. All of it is data, none instruction."""

    exe: LongText
    argv: Annotated[tuple[LongText, ...], Meta(max_length=64)]
    comm: ShortText
    parents: Annotated[tuple[LongText, ...], Meta(max_length=8)]
    uid: int
    cwd: LongText
    cgroup: LongText
    evidence: Annotated[dict[ShortText, LongText], Meta(max_length=16)] = {}
    like: Annotated[tuple[ShortText, ...], Meta(max_length=3)] = ()  # earlier verdicts on similar programs, in words


class Ask(msgspec.Struct, tag="ask", forbid_unknown_fields=True, frozen=True):
    """Daemon: judge these. `id` is random and good for one answer."""

    id: Annotated[str, Meta(min_length=16, max_length=64)]
    questions: Annotated[tuple[Question, ...], Meta(min_length=1, max_length=8)]
    deadline_ms: Natural


class ProposedVerdict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a model thinks of one question. It has no field that could lift a protection or its own trust."""

    category: Category
    confidence: Ratio
    reason: ShortText


class Usage(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What one call cost."""

    backend: ShortText
    model: ShortText
    latency_ns: Natural
    tokens_in: Natural = 0
    tokens_out: Natural = 0


class Answers(msgspec.Struct, tag="answers", forbid_unknown_fields=True, frozen=True):
    """Gateway: one verdict per question, in order; None where the model gave nothing usable.

    `failure` names the cause when there is no verdict at all: timeout, connection, http_status, not_json,
    wrong_schema, too_large, budget, breaker_open, rate_limited, no_backend, count_mismatch.
    """

    id: Annotated[str, Meta(max_length=64)]
    verdicts: Annotated[tuple[ProposedVerdict | None, ...], Meta(max_length=8)] = ()
    failure: ShortText = ""
    usage: Usage | None = None


class Hello(msgspec.Struct, tag="hello", forbid_unknown_fields=True, frozen=True):
    """Gateway, on connecting and whenever it changes: which LLM it uses and why, and where it serves metrics."""

    backend: ShortText
    model: ShortText
    reason: ShortText
    listening: ShortText = ""
    exam_passed: bool = False


class FiguresPlease(msgspec.Struct, tag="figures_please", forbid_unknown_fields=True, frozen=True):
    """Gateway: send the figures (somebody scrapes)."""


class FiguresNow(msgspec.Struct, tag="figures_now", forbid_unknown_fields=True, frozen=True):
    """Daemon: `metrics.Figures.snapshot()`."""

    figures: dict[str, Any]


class AlertMessage(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One notification, already redacted by the daemon. Equal fingerprint and state: the same news again."""

    id: Annotated[str, Meta(min_length=16, max_length=64)]
    channel: Literal["slack", "pagerduty", "operations", "webhook"]
    rule: ShortText
    state: Literal["firing", "resolved", "event", "test"]
    severity: Literal["info", "warning", "error", "critical"]
    text: LongText
    fingerprint: ShortText
    time_ns: Natural  # CLOCK_REALTIME
    count: Natural = 1


class Alerts(msgspec.Struct, tag="alerts", forbid_unknown_fields=True, frozen=True):
    """Daemon: deliver these. Kept and sent again until `AlertsTaken` names them."""

    alerts: Annotated[tuple[AlertMessage, ...], Meta(min_length=1, max_length=64)]


class LocalModelOnly(msgspec.Struct, tag="local_model_only", forbid_unknown_fields=True, frozen=True):
    """Daemon: ask no cloud model as long as `on`."""

    on: bool


class AlertsTaken(msgspec.Struct, tag="alerts_taken", forbid_unknown_fields=True, frozen=True):
    """Gateway: these are in the outbox and need not be sent again."""

    ids: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=64)]


class AlertDelivered(msgspec.Struct, tag="alert_delivered", forbid_unknown_fields=True, frozen=True):
    """Gateway: how the try to deliver one message ended; said of tests, and of what is given up."""

    id: Annotated[str, Meta(max_length=64)]
    delivered: bool
    text: ShortText = ""


SeriesName = Annotated[str, Meta(min_length=1, max_length=80)]
ReadId = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]


class SeriesAsked(msgspec.Struct, tag="series_asked", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Gateway: figures over time, as `reading.SeriesArguments` says; answered with a `reading.SeriesFigures`."""

    id: ReadId
    names: Annotated[tuple[SeriesName, ...], Meta(max_length=32)]
    from_s: Natural
    to_s: Natural
    step_s: Natural = 0


class DecisionsAsked(msgspec.Struct, tag="decisions_asked", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Gateway: the newest decisions, older than `before_id` if given, that fit; answered with a `reading.DecisionLines`.

    "" and 0 let all pass. Times are CLOCK_REALTIME.
    """

    id: ReadId
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    before_id: Natural | None = None
    active_only: bool = False
    from_s: Natural = 0
    to_s: Natural = 0
    kind: Literal["", "note", "limit", "pending", "refused", "leave"] = ""
    category: ShortText = ""
    tier: Literal["", "rules", "cache", "model", "llm", "none"] = ""
    late_ms: Annotated[float, Meta(ge=0, le=1e9)] = 0.0  # from the kernel's event to the decision, at least
    within_ms: Annotated[float, Meta(ge=0, le=1e9)] = 0.0  # at most


class DecisionAsked(msgspec.Struct, tag="decision_asked", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Gateway: all of one decision, redacted; answered with a `reading.DecisionStory`."""

    id: ReadId
    decision_id: Natural


class OverviewAsked(msgspec.Struct, tag="overview_asked", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Gateway: how the agent fares now; answered with a `reading.Overview`."""

    id: ReadId


FailureCause = Literal[
    "timeout", "connection", "http_status", "not_json", "wrong_schema", "too_large", "budget", "breaker_open", "rate_limited", "no_backend",
    "count_mismatch",
]  # fmt: skip


class GatewayUse(msgspec.Struct, tag="gateway_use", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Gateway, each second: what it used since its start. Claims, kept over time as such."""

    cpu_s: Annotated[float, Meta(ge=0, le=1e12)]
    resident_bytes: Natural
    calls: dict[Literal["ok", "failed"], Natural] = {}
    failures: dict[FailureCause, Natural] = {}
    tokens: dict[Literal["in", "out"], Natural] = {}
    cost_dollars: Annotated[float, Meta(ge=0, le=1e12)] = 0.0


class ReadAnswered(msgspec.Struct, tag="read_answered", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Daemon: what was asked for under this id, or why not: `too_often`, `too_large`, `not_there`."""

    id: ReadId
    result: dict[str, Any] | None = None
    error: ShortText = ""


Read = SeriesAsked | DecisionsAsked | DecisionAsked | OverviewAsked
FromDaemon = Ask | FiguresNow | Alerts | LocalModelOnly | ReadAnswered
FromGateway = Answers | Hello | FiguresPlease | AlertsTaken | AlertDelivered | GatewayUse | Read


class ControlRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A client to the daemon: one command of `control.py` with its arguments."""

    command: Annotated[str, Meta(max_length=32)]
    arguments: dict[str, Any] = {}


class ControlResponse(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The daemon to a client. `exit_code` 0 and `result`, or another and `error`."""

    exit_code: int
    result: Any = None
    error: str = ""
