"""The commands of the control socket: their names, arguments and results, for both sides.

A request is `ControlRequest(command, arguments)`; the daemon checks the arguments against the struct here and
answers `ControlResponse` with `result` as the struct here, or with an exit code of errors.py and a sentence.
Those of `READING` are for the group `brainkernel`; the others for root.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from brainkernel.link.messages import Natural  # noqa: TC001 # msgspec reads the annotations at run time
from brainkernel.link.people import StrategyState  # noqa: TC001
from brainkernel.model import DecisionRecord, ExamResult, ReleaseResult  # noqa: TC001

SOCKET_NAME = "control.sock"
STATUS, LIST, EXPLAIN = "status", "list", "explain"
UNDO, RELEASE_ALL, PAUSE, RESUME = "undo", "release_all", "pause", "resume"
STRATEGY, SET_STRATEGY = "strategy", "set_strategy"
FEEDBACK, PENDING, APPROVE, DENY, AUDIT = "feedback", "pending", "approve", "deny", "audit"
READING = frozenset({STATUS, LIST, EXPLAIN, PENDING, AUDIT, STRATEGY})
CHANGING = frozenset({UNDO, RELEASE_ALL, PAUSE, RESUME, FEEDBACK, APPROVE, DENY, SET_STRATEGY})


ALERTS, ALERT_TEST = "alerts", "alert_test"
PROCESSES = "processes"
READING |= {ALERTS, PROCESSES}
CHANGING |= {ALERT_TEST}


# Of link/reading.py, which builds on this module.
READING |= {"series", "trends"}


# Of link/versions.py, which builds on this module.
READING |= {"versions"}
CHANGING |= {"rollback", "canary"}


EXAMINED = "examined"
CHANGING |= {EXAMINED}


class NoArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of status, release_all, pause, resume."""


class ListArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of list: the newest `limit` decisions, older than `before_id` if given."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    active_only: bool = False
    before_id: Natural | None = None
    program: Annotated[str, Meta(max_length=256)] = ""  # a pid, or part of a program's path or name


class IdArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of explain and undo: a decision."""

    id: Natural


class ExaminedArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of examined: a result that the daemon shall keep and act upon."""

    result: ExamResult


class Examined(msgspec.Struct, frozen=True):
    """Result of examined: what that model's verdicts may do from now on."""

    text: str


class ProcessesArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of processes: the `limit` greediest."""

    limit: Annotated[int, Meta(ge=1, le=2000)] = 500


class ProcessRow(msgspec.Struct, frozen=True, kw_only=True):
    """One process; shares are of one CPU over the window. Text is escaped. `category` is "" if nobody judged it yet."""

    pid: int
    uid: int
    comm: str
    exe: str
    cpu_pct: float
    wait_pct: float  # stood in a run queue
    category: str
    tier: str
    confidence: float
    decision_id: int  # 0: none; of the limit, where one stands
    limit: str = ""
    effect: str = ""


class ProcessRows(msgspec.Struct, frozen=True, kw_only=True):
    """Result of processes: the watch's last window."""

    rows: tuple[ProcessRow, ...] = ()
    total: int = 0
    pressure_pct: float = 0.0
    window_s: float = 0.0
    mode: str = ""
    paused: bool = False


class NameArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of alert_test: a rule of alerts.yaml."""

    name: Annotated[str, Meta(max_length=80)]


class ChannelTested(msgspec.Struct, frozen=True):
    """How a test message went by one channel."""

    channel: str
    delivered: bool
    text: str = ""


class AlertTested(msgspec.Struct, frozen=True):
    """Result of alert_test; no channel: the rule notifies nobody."""

    channels: tuple[ChannelTested, ...]


class AlertState(msgspec.Struct, frozen=True, kw_only=True):
    """How one alert rule stands: quiet, pending, firing, or waits (for an event)."""

    name: str
    severity: str
    state: str
    rule: str  # its condition or event
    figures: str = ""
    since_s: float | None = None
    told: int = 0  # how often it was told since the start
    actions: tuple[str, ...] = ()


class AlertStates(msgspec.Struct, frozen=True):
    """Result of alerts."""

    file: str
    alerts: tuple[AlertState, ...]


class StageFigures(msgspec.Struct, frozen=True):
    """How long one stage takes, over all suspects since the start."""

    stage: str
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Counts(msgspec.Struct, frozen=True):
    """What passed since the start. `execs_seen` = `known` + `new`, those lost aside."""

    execs_seen: int = 0
    known: int = 0
    new: int = 0
    anomalous: int = 0
    suspects: int = 0
    llm_calls: int = 0
    decisions: dict[str, int] = {}  # by DecisionKind
    active_limits: int = 0
    limits_applied: int = 0
    limits_released: int = 0
    events_lost: int = 0
    suppressed: int = 0  # held back in the kernel by flood control


class LlmUse(msgspec.Struct, frozen=True):
    """Which language model is asked, and why this one. `backend` is "none" when there is none."""

    backend: str
    model: str = ""
    reason: str = ""
    exam: str = ""  # how it did, and so what its verdicts may do


class CacheUse(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict cache since the start: `foreseen` were found only because they were asked for again in time."""

    lookups: int
    found: int
    foreseen: int
    refreshes: int


class QualityFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of learn/quality.py over one window; `value` is None where there is not enough data."""

    measure: str
    window: str
    samples: float
    value: float | None = None
    low: float | None = None
    high: float | None = None


class BudgetFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One latency budget of learn/latency.py over the last 5 minutes; None where nothing was measured."""

    name: str
    target_ms: float
    samples: int
    breaches: int  # since the start
    mean_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class StageLatency(msgspec.Struct, frozen=True, kw_only=True):
    """How long one stage, tier (total) or backend (inference) took over one sliding window."""

    of: str  # "stage", "tier", "backend"
    name: str
    window: str
    samples: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Stability(msgspec.Struct, frozen=True):
    """How calm the host is and how well we behave: 1 is best. What each part takes from it is in [0, 1]."""

    index: float
    parts: dict[str, float] = {}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Result of status."""

    version: str
    mode: str
    paused: bool
    loader: str
    loader_reason: str
    uptime_s: float
    kernel: str
    llm: LlmUse
    counts: Counts
    stages: tuple[StageFigures, ...] = ()
    listening: str = ""  # where the gateway serves the dashboard and metrics
    notices: tuple[str, ...] = ()  # what does not work and what to do, in sentences: cgroup v1, database in memory ...
    resident_bytes: int = 0
    quality: tuple[QualityFigure, ...] = ()
    stability: Stability | None = None
    budgets: tuple[BudgetFigures, ...] = ()
    strategy: StrategyState | None = None
    latencies: tuple[StageLatency, ...] = ()
    cache: CacheUse | None = None


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One line of list."""

    id: int
    time_ns: int
    pid: int
    exe: str
    parent: str
    category: str
    tier: str
    confidence: float
    decision: str
    limit: str = ""
    active: bool = False
    reason: str = ""
    latency_ms: float = 0.0


class Listing(msgspec.Struct, frozen=True):
    """Result of list, newest first."""

    decisions: tuple[Listed, ...]


class Explanation(msgspec.Struct, frozen=True):
    """Result of explain."""

    record: DecisionRecord


class Released(msgspec.Struct, frozen=True):
    """How the end of one limit went."""

    id: int
    comm: str
    result: ReleaseResult
    text: str = ""


class Releases(msgspec.Struct, frozen=True):
    """Result of undo (one) and of release_all."""

    released: tuple[Released, ...]


class Acting(msgspec.Struct, frozen=True):
    """Result of pause and of resume: whether limits may be set now."""

    mode: str
    paused: bool
    why: str = ""  # what ends the pause


class Limited(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a run, for its summary."""

    id: int
    comm: str
    limit: str
    effect: str = ""  # Outcome.text
    result: str = ""  # ReleaseResult; empty: it stands


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run in the foreground tells at its end."""

    seconds: float
    counts: Counts
    stages: tuple[StageFigures, ...] = ()
    limits: tuple[Limited, ...] = ()


def listed_of(record: DecisionRecord) -> Listed:
    """Cut a record down to its line of list."""
    decision = record.decision
    program = decision.suspect.program
    return Listed(
        id=decision.id,
        time_ns=decision.time_ns,
        pid=decision.suspect.key.tgid,
        exe=program.exe or program.comm,
        parent=program.parents[0] if program.parents else decision.suspect.identity.parent_exe,
        category=decision.verdict.category.value,
        tier=decision.verdict.tier.value,
        confidence=decision.verdict.confidence,
        decision=decision.kind.value,
        limit=str(decision.limit) if decision.limit else "",
        active=record.active,
        reason=decision.reason,
        latency_ms=latency_ms_of(record),
    )


def latency_ms_of(record: DecisionRecord) -> float:
    """From the kernel's event to the decision."""
    return next((span.ns / 1e6 for span in record.decision.spans if span.stage == "total"), 0.0)
