"""The `Report` that prints: as a table for people, or as JSON lines for programs and the journal."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from brainkernel.classify.redact import redacted_argv
from brainkernel.cli import live, log
from brainkernel.cli.printer import LinePrinter, no_lines
from brainkernel.cli.terminal import Style, json_line, width_of
from brainkernel.escape import escaped, shown
from brainkernel.model import Category, DecisionKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.cli.flood import Flood
    from brainkernel.clock import Clock
    from brainkernel.host import HostFacts
    from brainkernel.learn.latency import Breach
    from brainkernel.link.control import Summary
    from brainkernel.model import Action, Decision, Exec, Outcome, Refusal, ReleaseResult

_DIGITS = re.compile(r"\d+")
_HEADER_EVERY = 40  # lines: it stays on a screen
_NOTICEABLE = frozenset({"action", "not_applied", "release", "notice"})  # types of what an operator looks for


class TextReport:
    """One line per decision; limits, their effects and notices below them, indented. `all_events`: known programs, too."""

    def __init__(self, stream: TextIO, clock: Clock, *, all_events: bool) -> None:
        self._clock = clock
        self._all_events = all_events
        self._printer = LinePrinter(stream)
        self._table = live.LiveTable(width_of(stream), Style.of(stream))
        self._lines = 0

    def event(self, event: Exec, *, passed: bool) -> None:
        """Known programs are counted; they are shown only if all are wanted."""
        if self._all_events and not passed:
            self._row(self._table.known_line(event, self._clock.wall_ns()))

    def decision(self, decision: Decision) -> None:
        """Print its line."""
        self._row(self._table.line(decision))

    def action(self, decision: Decision, action: Action) -> None:
        """A limit stands."""
        changes = ", ".join(f"{c.name} {c.before or '(unset)'} -> {c.after}" for c in action.changes)
        where = escaped(action.unit or action.cgroup)
        self._print(f"         limited {escaped(action.comm)} ({action.target.tgid}): {action.limit} on {where}; {escaped(changes)}")
        self._print(f"         undo it: brainkernel undo {decision.id}")

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """A limit could not be set."""
        self._print(f"         not limited: {decision.id} {escaped(refusal.rule)}: {escaped(refusal.reason)}")

    def released(self, action: Action, result: ReleaseResult, why: str) -> None:
        """A limit ended."""
        self._print(f"         released {escaped(action.comm)} ({action.target.tgid}): {result.value}; {escaped(why)}")

    def outcome(self, decision: Decision, outcome: Outcome) -> None:
        """What a limit achieved."""
        self._print(f"         effect of {decision.id}: {escaped(outcome.text)}")

    def breach(self, breach: Breach) -> None:
        """A latency budget was not kept."""
        self.notice(breach.text)

    def anomaly(self, _name: str, text: str) -> None:
        """A figure of ours is unlike itself."""
        self.notice(text)

    def notice(self, text: str) -> None:
        """Something a person should know."""
        self._print(f"note: {shown(text)}")

    def banner(self, facts: HostFacts, mode: str) -> None:
        """The start: what this host can do."""
        self._print("\n".join([*live.banner_lines(facts, mode), ""]))

    def summary(self, summary: Summary) -> None:
        """The end."""
        self._print("\n".join(live.summary_lines(summary)))

    def close(self) -> None:
        """Wait a little for the reader; nothing is printed after it."""
        self._printer.close()

    def _row(self, line: str) -> None:
        if self._lines % _HEADER_EVERY == 0:
            self._print(self._table.header())
        self._lines += 1
        self._print(line)

    def _print(self, text: str) -> None:
        self._printer.print(text)


class JsonReport:
    """One object per line; `all_events`: also for programs that the gate knows."""

    def __init__(self, stream: TextIO, *, all_events: bool, due: Callable[[], list[str]] = no_lines) -> None:
        self._printer = LinePrinter(stream, due=due)
        self._all_events = all_events

    def event(self, event: Exec, *, passed: bool) -> None:
        """Print the event if all are wanted."""
        if self._all_events:
            self._print({**live.event_object(event), "passed": passed})

    def decision(self, decision: Decision) -> None:
        """Print it."""
        self._print(live.decision_object(decision))

    def action(self, _decision: Decision, action: Action) -> None:
        """Print it."""
        self._print(live.action_object(action))

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """Print it."""
        self._print({"type": "not_applied", "id": decision.id, "rule": refusal.rule, "reason": escaped(refusal.reason)})

    def released(self, action: Action, result: ReleaseResult, why: str) -> None:
        """Print it."""
        self._print(live.release_object(action.id, result, why))

    def outcome(self, _decision: Decision, outcome: Outcome) -> None:
        """Print it."""
        self._print(live.outcome_object(outcome))

    def breach(self, breach: Breach) -> None:
        """Print it with its trace."""
        self._print(live.breach_object(breach))

    def anomaly(self, name: str, text: str) -> None:
        """Print it."""
        self._print({"type": "anomaly", "figure": name, "text": text})

    def notice(self, text: str) -> None:
        """Print it."""
        self._print({"type": "notice", "text": shown(text)})

    def banner(self, facts: HostFacts, mode: str) -> None:
        """The start: what this host can do."""
        self._print(live.host_object(facts, mode))

    def summary(self, summary: Summary) -> None:
        """The end."""
        self._print(live.summary_object(summary))

    def close(self) -> None:
        """Wait a little for the reader; nothing is printed after it."""
        self._printer.close()

    def _print(self, thing: dict[str, Any]) -> None:
        self._printer.print(json_line(thing))


class JournalReport(JsonReport):
    """For the journal: what was or would be limited and why; new programs that hurt nobody are in `brainkernel list`.

    Each line has the journal's priority. Of a flood of one kind the first lines are told, then their number. Journals are
    shipped and read by many: command lines are redacted as for a language model.
    """

    def __init__(self, stream: TextIO, flood: Flood) -> None:
        self._flood = flood
        super().__init__(stream, all_events=False, due=self._left_out)

    def decision(self, decision: Decision) -> None:
        """Print it unless it is only a note."""
        category = decision.verdict.category
        # A flood of harmless programs hides no suspicious one among them.
        if decision.kind is DecisionKind.NOTE or not self._admits(f"decision {decision.kind.value} {category.value}"):
            return
        program = decision.suspect.program
        program = replace(program, argv=redacted_argv(program.argv))  # before anything is cut: half of a secret looks like nothing
        level = "warning" if category is Category.SUSPICIOUS else "info"
        self._tell(level, live.decision_object(replace(decision, suspect=replace(decision.suspect, program=program))))

    def close(self) -> None:
        """Tell what was left out, and wait a little for the reader."""
        for line in self._left_out(at_the_end=True):
            self._printer.print(line)
        super().close()

    def _print(self, thing: dict[str, Any]) -> None:
        # Sentences that differ by a number alone are of one kind.
        if self._admits(_DIGITS.sub("#", f"{thing['type']} {thing.get('text', '')}")):
            self._tell("notice" if thing["type"] in _NOTICEABLE else "info", thing)

    def _admits(self, kind: str) -> bool:
        for line in self._left_out():
            self._printer.print(line)
        return self._flood.admits(kind)

    def _tell(self, level: str, thing: dict[str, Any]) -> None:
        self._printer.print(log.priority_of(level) + json_line({"level": level, **thing}))

    def _left_out(self, *, at_the_end: bool = False) -> list[str]:
        over = self._flood.take_left_out(at_the_end=at_the_end)
        return [log.priority_of("warning") + json_line({"type": "flood", "of": kind, "left_out": count}) for kind, count in over]
