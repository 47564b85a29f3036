"""What can be read of the daemon over time, by the gateway and on the control socket: figures, trends, decisions.

For the gateway all text is redacted and bounded by the daemon (showing.py). The gateway's questions are in messages.py.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from brainkernel.link.control import (  # noqa: TC001 # msgspec reads the annotations at run time
    BudgetFigures,
    Counts,
    LlmUse,
    QualityFigure,
    Stability,
    StageLatency,
)
from brainkernel.link.messages import Natural, SeriesName  # noqa: TC001
from brainkernel.link.people import StrategyState  # noqa: TC001

SERIES, TRENDS = "series", "trends"


class SeriesArguments(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Of series: figures from `from_s` until before `to_s` (CLOCK_REALTIME), in steps of `step_s` or longer; 0: as fine as fits.

    Without names: only what there is.
    """

    names: Annotated[tuple[SeriesName, ...], Meta(max_length=32)] = ()
    from_s: Natural = 0
    to_s: Natural = 0xFFFFFFFF
    step_s: Natural = 0


class SeriesLine(msgspec.Struct, frozen=True):
    """One figure: point n is of `start_s + n * step_s`; None where nothing was measured. `samples`: how many values are behind it."""

    low: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    high: tuple[float | None, ...]
    samples: tuple[int, ...]


class SeriesFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Result of series. `step_s` may be longer than asked; names that are not kept are left out."""

    start_s: int
    step_s: int
    series: dict[str, SeriesLine]
    names: tuple[str, ...] = ()  # all that are kept


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """How one figure stands: now, and where it goes. None: not known, or no such thing."""

    name: str
    unit: str
    help: str
    now: float | None = None
    mean: float | None = None  # what it is used to
    deviation: float | None = None
    anomalous_since_s: float | None = None  # seconds ago; None: as usual
    slope_per_h: float | None = None
    bound: float | None = None  # what it should not cross
    above: bool = True  # from which side
    breach_in_s: float | None = None  # if it goes on like this; 0: crossed


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of our own that left what it is used to."""

    name: str
    begun_s: int  # CLOCK_REALTIME
    ended_s: int | None = None
    text: str = ""


class Trends(msgspec.Struct, frozen=True, kw_only=True):
    """Result of trends: every watched figure, and the latest anomalies, newest first."""

    trends: tuple[Trend, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()


class DecisionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One decision in a list."""

    id: int
    time_ns: int  # CLOCK_REALTIME
    pid: int
    exe: str
    parent: str
    category: str
    confidence: float
    tier: str
    decision: str
    limit: str = ""
    active: bool = False
    reason: str = ""
    latency_ms: float = 0.0


class DecisionLines(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to DecisionsAsked, newest first. `next_before_id`: ask on from there; None: there are no older ones."""

    decisions: tuple[DecisionLine, ...]
    next_before_id: int | None = None


class SpanFigure(msgspec.Struct, frozen=True):
    """One stage in the trace of a decision, in order."""

    stage: str
    ms: float


class Word(msgspec.Struct, frozen=True):
    """What a person said of a decision."""

    time_ns: int
    good: bool
    label: str = ""
    text: str = ""


class DecisionStory(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to DecisionAsked: the event, the evidence, the verdict, the harm, the limit and what it achieved."""

    line: DecisionLine
    argv: tuple[str, ...]
    comm: str
    parents: tuple[str, ...]
    uid: int
    cwd: str
    cgroup: str
    evidence: dict[str, str]
    why_looked: tuple[str, ...]
    says: str  # the rule, or the model
    verdict_reason: str
    may_act: bool
    symptom: str
    refusals: dict[str, str]  # by safety rule
    spans: tuple[SpanFigure, ...]
    route: str = ""
    unit: str = ""
    changes: tuple[str, ...] = ()
    effect: str = ""
    helped: bool | None = None
    release: str = ""
    released_ns: int | None = None
    feedback: tuple[Word, ...] = ()


class Switch(msgspec.Struct, frozen=True):
    """A change of the strategy, or of what else people and rules change: who did what, and why."""

    time_ns: int  # CLOCK_REALTIME
    deed: str
    text: str
    by_person: bool


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to OverviewAsked: how the agent fares now."""

    version: str
    mode: str
    paused: bool
    uptime_s: float
    loader: str
    llm: LlmUse
    counts: Counts
    strategy: StrategyState | None
    quality: tuple[QualityFigure, ...]
    stability: Stability | None
    budgets: tuple[BudgetFigures, ...]
    latencies: tuple[StageLatency, ...] = ()
    trends: tuple[Trend, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    switches: tuple[Switch, ...] = ()  # newest first
    notices: tuple[str, ...] = ()
