"""What the dashboard reads: questions of a browser made into questions to the daemon, and its answers with our own figures."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from brainkernel import metrics
from brainkernel.gateway.prometheus import SnapshotCollector
from brainkernel.link.messages import DecisionAsked, DecisionsAsked, OverviewAsked, SeriesAsked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from brainkernel.link.messages import Read, ReadAnswered
    from brainkernel.metrics import Metric

TIMEOUT_S = 3.0
TRIES, PAUSE_S = 8, 0.3  # the daemon answers a burst, then a few a second: who comes later waits
NAMES_MAX_ASKED, POINTS_MAX_ANSWERED = 32, 4_000  # of one question to the daemon
NAMES_MAX = 96  # of one answer to a browser
POINTS = 360  # over the width of a plot
TAIL_S = 8
FRESH_MAX_S = 60.0
NAMES_KEPT_S = 10
LONGEST_S = 31 * 86_400
# Sums since the start that the views show as they are; they name kinds and causes, never a program.
SHOWN = (
    metrics.VERDICTS, metrics.REFUSALS, metrics.LLM_CALLS, metrics.LLM_TOKENS, metrics.LLM_FAILURES, metrics.LLM_COST, metrics.KERNEL_FAILURES,
    metrics.PROTOCOL_ERRORS, metrics.BUDGET_BREACHES, metrics.STRATEGY_CHANGES, metrics.FEEDBACK,
    metrics.LEARNING_SESSIONS, metrics.DRIFTS,
)  # fmt: skip
_STATUS_OF = {
    "away": (HTTPStatus.SERVICE_UNAVAILABLE, "the daemon is away: systemctl status brainkernel"),
    "timeout": (HTTPStatus.GATEWAY_TIMEOUT, "the daemon does not answer in time"),
    "too_often": (HTTPStatus.SERVICE_UNAVAILABLE, "the daemon is asked too often; try again"),
    "not_there": (HTTPStatus.NOT_FOUND, "there is no such decision; those beyond store.decisions_max are deleted"),
}


class UnansweredError(Exception):
    """A question that has no answer: the status and a sentence for the browser."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class SeriesQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"from_s": "from", "to_s": "to"}, forbid_unknown_fields=True):
    """Figures by name (`*` stands for any), over the last `range` seconds or from one moment to another."""

    name: Annotated[tuple[Annotated[str, Meta(max_length=80)], ...], Meta(min_length=1, max_length=16)]
    range: Annotated[int, Meta(ge=10, le=LONGEST_S)] | None = None
    from_s: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    to_s: Annotated[int, Meta(ge=0, le=1 << 40)] = 0

    @property
    def fresh_s(self) -> float:
        """How long an answer is good: a point of the plot, and no longer than somebody waits for the first one of a fresh start."""
        return min(FRESH_MAX_S, max(2.0, (self.range or self.to_s - self.from_s) / POINTS))


class Readings:
    """Asks the daemon. Every method may wait for it and is called in a thread; all raise `UnansweredError`."""

    def __init__(
        self,
        read: Callable[[Read, float], ReadAnswered],
        snapshots: Callable[[], list[dict[str, Any]]],
        *,
        wall_s: Callable[[], float] = time.time,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """`read` is DaemonLink's, `snapshots` gives the figures of the daemon, if it answers, and our own."""
        self._read = read
        self._snapshots = snapshots
        self._wall_s = wall_s
        self._wait = wait
        self._daemons: list[dict[str, Any]] = []
        self._names: tuple[float, tuple[str, ...]] = (0.0, ())

    def series(self, query: SeriesQuery) -> dict[str, Any]:
        """A `reading.SeriesFigures` of all names that match."""
        now_s = int(self._wall_s()) + 1
        to_s = now_s if query.range else query.to_s
        from_s = now_s - query.range if query.range else query.from_s
        if to_s <= from_s:
            raise UnansweredError(HTTPStatus.BAD_REQUEST, "range, or from and a later to, say which time is asked for")
        return self._series(self._matching(query.name), from_s, to_s, -(-(to_s - from_s) // POINTS))

    def decisions(self, query: Mapping[str, str]) -> dict[str, Any]:
        """A `reading.DecisionLines`; the query has the fields of `DecisionsAsked`, `from`, `to` and `before`."""
        named = {"from": "from_s", "to": "to_s", "before": "before_id"}
        return self._answer({named.get(k, k): v for k, v in query.items()}, DecisionsAsked)

    def decision(self, decision_id: int) -> dict[str, Any]:
        """A `reading.DecisionStory`."""
        return self._answer({"decision_id": decision_id}, DecisionAsked)

    def live(self, patterns: Collection[str]) -> dict[str, Any]:
        """What changes all the time: the overview, sums since the start, and the newest points of some figures."""
        event: dict[str, Any] = {"at_s": self._wall_s(), "connected": True, "overview": None, **self._sums()}
        try:
            event["overview"] = self._answer({}, OverviewAsked)
            now_s = int(self._wall_s()) + 1
            names = self._matching(patterns) if patterns else []
            event["tail"] = self._series(names, now_s - TAIL_S, now_s, 0) if names else None
        except UnansweredError:
            event["connected"] = False
        return event

    def _sums(self) -> dict[str, Any]:
        *daemons, own = self._snapshots()
        self._daemons = daemons or self._daemons  # one that is busy for a moment has not forgotten what it counted
        collector = SnapshotCollector([*self._daemons, own])
        return {
            "figures": {_short(metric): [[labels, n] for labels, n in collector.samples_of(metric).items()] for metric in SHOWN},
            "resident": {labels[0]: n for labels, n in collector.samples_of(metrics.RESIDENT_BYTES).items()},
        }

    # As many names to a question as all points of have room in its answer; the parts must be on one grid.
    def _series(self, names: list[str], from_s: int, to_s: int, step_s: int) -> dict[str, Any]:
        size = min(NAMES_MAX_ASKED, max(1, POINTS_MAX_ANSWERED * max(1, step_s) // (to_s - from_s)))
        parts = [names[first : first + size] for first in range(0, len(names), size)]
        answers = [self._part(part, from_s, to_s, step_s) for part in parts]
        coarsest_s = max((answer["step_s"] for answer in answers), default=1)
        if any(answer["step_s"] != coarsest_s for answer in answers):
            answers = [self._part(part, from_s, to_s, coarsest_s) for part in parts]
        start_s = answers[0]["start_s"] if answers else from_s
        return {"start_s": start_s, "step_s": coarsest_s, "series": {k: v for answer in answers for k, v in answer["series"].items()}}

    def _part(self, names: list[str], from_s: int, to_s: int, step_s: int) -> dict[str, Any]:
        return self._answer({"names": names, "from_s": from_s, "to_s": to_s, "step_s": step_s}, SeriesAsked)

    def _matching(self, patterns: Iterable[str]) -> list[str]:
        known = self._known_names()
        return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)][:NAMES_MAX]

    # A figure that is new shows within some seconds.
    def _known_names(self) -> tuple[str, ...]:
        until_s, names = self._names
        if not names or self._wall_s() >= until_s:
            names = tuple(self._answer({"names": (), "from_s": 0, "to_s": 0}, SeriesAsked)["names"])
            self._names = (self._wall_s() + NAMES_KEPT_S, names)
        return names

    def _answer(self, fields: Mapping[str, Any], kind: type[Read]) -> dict[str, Any]:
        try:
            question = msgspec.convert({"id": 0, **fields}, kind, strict=False)
        except msgspec.ValidationError as error:
            raise UnansweredError(HTTPStatus.BAD_REQUEST, str(error)) from None
        for _ in range(TRIES):
            answered = self._read(question, TIMEOUT_S)
            if answered.error != "too_often":
                break
            self._wait(PAUSE_S)
        if answered.result is None:
            raise UnansweredError(*_STATUS_OF.get(answered.error, (HTTPStatus.BAD_GATEWAY, f"the daemon says {answered.error}")))
        return answered.result


def _short(metric: Metric) -> str:
    return metric.name.removeprefix("brainkernel_").removesuffix("_total")
