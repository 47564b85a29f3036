"""What runs now, and what is thought of it: the watch's last window beside the latest decisions. Read only."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

from brainkernel.escape import escaped
from brainkernel.link import control
from brainkernel.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from brainkernel.model import Action, Decision, DecisionRecord, Exec, Outcome, ProcessKey, Refusal, ReleaseResult
    from brainkernel.observe.window import TaskUse, Window

K = TypeVar("K")

REMEMBERED_MAX = 4_096
PATH_LENGTH_MAX = 200
SENT_MAX = 2_000  # rows of some 300 bytes: within one frame


class _Thought:
    # The little that a row needs of a decision: whole decisions would be megabytes.
    __slots__ = ("category", "confidence", "decision_id", "tier")

    def __init__(self, decision: Decision) -> None:
        self.decision_id = decision.id
        self.category = decision.verdict.category.value
        self.tier = decision.verdict.tier.value
        self.confidence = decision.verdict.confidence


class Processes(Report):
    """Is told of decisions, limits and effects; `rows` puts them beside the processes of a window."""

    def __init__(self, exe_of: Callable[[ProcessKey], str], earlier: Iterable[DecisionRecord] = ()) -> None:
        """`exe_of` must not read anything; `earlier` are decisions of earlier runs, newest first."""
        self._exe_of = exe_of
        self._by_key: OrderedDict[ProcessKey, _Thought] = OrderedDict()
        self._by_exe: OrderedDict[str, _Thought] = OrderedDict()
        self._limits: dict[int, Action] = {}
        self._effects: dict[int, str] = {}
        for record in reversed(list(earlier)):
            self.decision(record.decision)

    def rows(self, window: Window | None, limit: int) -> control.ProcessRows:
        """Those who use or wait most first, at most `limit`."""
        if window is None:
            return control.ProcessRows()
        limited = {key: a for a in self._limits.values() for key in (a.target, *a.moved)}
        uses = sorted(window.uses.values(), key=lambda use: (use.key not in limited, -use.cpu_pct - use.wait_pct, use.key.tgid))
        rows = tuple(self._row(use, limited.get(use.key)) for use in uses[: min(limit, SENT_MAX)])
        return control.ProcessRows(rows=rows, total=len(uses), pressure_pct=window.pressure_pct, window_s=window.length_ns / 1e9)

    def event(self, event: Exec, *, passed: bool) -> None:  # noqa: ARG002 # the report's protocol
        """A process that runs another program now is no longer what it was."""
        self._by_key.pop(event.key, None)

    def decision(self, decision: Decision) -> None:
        """Remember what it is, of this process and of its program."""
        thought = _Thought(decision)
        _put(self._by_key, decision.suspect.key, thought)
        if decision.suspect.program.exe:
            _put(self._by_exe, decision.suspect.program.exe, thought)

    def action(self, _decision: Decision, action: Action) -> None:
        """A limit stands."""
        self._limits[action.id] = action
        self._effects.pop(action.id, None)

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """Nothing stands."""

    def released(self, action: Action, result: ReleaseResult, _why: str) -> None:
        """A limit ended."""
        if result.value != "failed":
            self._limits.pop(action.id, None)
            self._effects.pop(action.id, None)

    def outcome(self, decision: Decision, outcome: Outcome) -> None:
        """What it achieved."""
        if decision.id in self._limits:
            self._effects[decision.id] = outcome.text

    def notice(self, text: str) -> None:
        """Notices are for people who are there."""

    def _row(self, use: TaskUse, action: Action | None) -> control.ProcessRow:
        exe = self._exe_of(use.key)
        thought = self._by_key.get(use.key) or self._by_exe.get(exe)
        return control.ProcessRow(
            pid=use.key.tgid,
            uid=use.uid,
            comm=escaped(use.comm),
            exe=escaped(exe, PATH_LENGTH_MAX),
            cpu_pct=round(use.cpu_pct, 1),
            wait_pct=round(use.wait_pct, 1),
            category=thought.category if thought else "",
            tier=thought.tier if thought else "",
            confidence=thought.confidence if thought else 0.0,
            decision_id=action.id if action else thought.decision_id if thought else 0,
            limit=str(action.limit) if action else "",
            effect=escaped(self._effects.get(action.id, "")) if action else "",
        )


def _put(memory: OrderedDict[K, _Thought], key: K, thought: _Thought) -> None:
    memory[key] = thought
    memory.move_to_end(key)
    if len(memory) > REMEMBERED_MAX:
        memory.popitem(last=False)
