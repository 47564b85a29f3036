"""Recording a host's events, and running recorded ones through the stages on a simulated clock.

A replay never acts and looks at nothing of this host: neither processes nor packages. What it says of a recording
is the same on every machine with the same rules.
"""

from __future__ import annotations

import logging
import select
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import orjson

from brainkernel.classify import ruleset
from brainkernel.classify.model import LocalModel, ModelTier
from brainkernel.classify.tiers import RulesTier
from brainkernel.clock import SimulatedClock, SystemClock
from brainkernel.decide.approvals import Approvals
from brainkernel.deciding import Deciding
from brainkernel.effective import Standards
from brainkernel.enrich.enricher import Enricher
from brainkernel.enrich.lineage import parents_of
from brainkernel.enrich.procfs import ProcFs
from brainkernel.enrich.table import ProcessTable
from brainkernel.escape import escaped
from brainkernel.gate.baseline import Baseline
from brainkernel.gate.gate import Gate
from brainkernel.learn.experience import Experience
from brainkernel.learn.strategy import SETTINGS, Strategy
from brainkernel.memory import shape_of
from brainkernel.model import Exec, Exit, Fork
from brainkernel.pausing import Switch
from brainkernel.pipeline import Stages, conclude, consider
from brainkernel.sense.loader import choose
from brainkernel.sense.loaders import live_loaders
from brainkernel.sense.recording import line_of
from brainkernel.sense.replay import ReplayLoader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from brainkernel.config import Config
    from brainkernel.model import Decision, ProcessEvent, Suspect

NOWHERE = Path("/nonexistent")  # where no process and no package is found
LOG = logging.getLogger(__name__)
DRAIN_INTERVAL_S = 0.05


class Replay:
    """The stages over recorded events. The clock is that of the events."""

    def __init__(self, config: Config) -> None:
        """Begin with an empty baseline. Raises ConfigError for a rule that is not valid."""
        self._clock = SimulatedClock()
        self._table = ProcessTable()
        self._proc = ProcFs(NOWHERE)
        self._ids = 0
        enricher = Enricher(proc_root=NOWHERE, fs_root=NOWHERE, clock=self._clock, packages=())
        gate = Gate(config.gate, Baseline())
        rules = RulesTier(ruleset.load())
        model = ModelTier(LocalModel(), rules.ruleset.knowledge)
        deciding = Deciding(
            standards=lambda _identity: Standards(config=config),
            clock=self._clock,
            switch=Switch("observe"),
            experience=Experience(),
            approvals=Approvals(),
            strategy=lambda: SETTINGS[Strategy.BALANCED],
            table=self._table,
            standing_of=lambda _key: None,
            own=frozenset(),
            next_id=self._next_id,
            lease_ns_for=lambda _suspect: 0,
            limits_standing=lambda: 0,
            was_limited=lambda _suspect: False,
        )
        self._stages = Stages(
            clock=self._clock,
            gate=lambda event: gate.consider(event, shape_of(event)),
            enrich=lambda suspect, started: enricher.enrich(self._with_parents(suspect, started), started),
            tiers=(("rules", rules.judge), ("local_model", model.judge)),
            ask=lambda _suspect: False,
            decide=deciding.decide,
            act=_never,
        )

    def decisions(self, events: Iterable[ProcessEvent]) -> Iterator[tuple[ProcessEvent, Decision | None]]:
        """Carry each event through; None for those that the gate stopped or that are no program starts."""
        for event in events:
            self._clock.advance_to(event.time_ns)
            decision = None
            match event:
                case Exec():
                    self._table.on_exec(event)
                    if (judged := consider(event, self._stages)) is not None:
                        decision = conclude(*judged, None, self._stages)
                case Fork():
                    self._table.on_fork(event)
                case Exit():
                    self._table.on_exit(event)
            yield event, decision

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _with_parents(self, suspect: Suspect, started: Exec | None) -> Suspect:
        if started is None:
            return suspect
        return replace(suspect, program=replace(suspect.program, parents=parents_of(started, self._table, self._proc)))


def _never(decision: Decision) -> None:
    msg = f"a replay must not act, but decision {decision.id} would"
    raise AssertionError(msg)


def replay(recording: BinaryIO, config: Config, out: TextIO, *, as_json: bool) -> int:
    """Print one line per program start: whether the gate let it pass and why, and the decision; returns the exit code.

    Raises UsageError that names the line which is no event.
    """
    with ReplayLoader(recording, all_events=True) as loader:
        for event, decision in Replay(config).decisions(_events_of(loader)):
            if isinstance(event, Exec):
                thing = replayed_object(event, decision)
                text = orjson.dumps(thing).decode() if as_json else _line_of(thing)
                print(text, file=out)
    return 0


def _events_of(loader: ReplayLoader) -> Iterator[ProcessEvent]:
    while not loader.finished:
        yield from loader.drain()


def replayed_object(event: Exec, decision: Decision | None) -> dict[str, Any]:
    """What the stages thought of one program start, as JSON types."""
    thing: dict[str, Any] = {
        "kind": "exec",
        "time_ns": event.time_ns,
        "tgid": event.key.tgid,
        "exe": escaped(event.exe),
        "parent_exe": escaped(event.parent_exe),
        "suspect": decision is not None,
        "reasons": [],
        "decision": None,
    }
    if decision is None:
        return thing
    verdict = decision.verdict
    return thing | {
        "reasons": [{"code": r.code.value, "text": escaped(r.text)} for r in decision.suspect.reasons],
        "category": verdict.category.value,
        "confidence": verdict.confidence,
        "tier": verdict.tier.value,
        "verdict_reason": escaped(verdict.reason),
        "decision": decision.kind.value,
    }


def _line_of(thing: dict[str, Any]) -> str:
    start = f"{thing['time_ns'] / 1e9:12.3f} {thing['tgid']:>7} {thing['exe']}"
    if not thing["suspect"]:
        return f"{start}: known"
    reasons = "; ".join(r["text"] for r in thing["reasons"])
    return f"{start}: {reasons}; {thing['category']} ({thing['verdict_reason']}); {thing['decision']}"


def record(out: BinaryIO, loader: str, seconds: float | None) -> int:
    """Write every exec, exit and fork of this host as a JSON line, until `seconds` are over or Ctrl-C; the exit code.

    Raises SenseError where no loader can see events.
    """
    clock = SystemClock()
    end_ns = None if seconds is None else clock.boot_ns() + int(seconds * 1e9)
    chosen = choose(loader, live_loaders(clock=clock, all_events=True, run_queue=False))
    for text in (*chosen.refused, *chosen.loader.limits):
        LOG.warning("%s", text)
    with chosen.loader as source, select.epoll() as epoll:
        epoll.register(source.fileno(), select.EPOLLIN)
        try:
            while end_ns is None or clock.boot_ns() < end_ns:
                epoll.poll(DRAIN_INTERVAL_S)
                for event in source.drain():
                    if (line := line_of(event)) is not None:
                        out.write(f"{line}\n".encode("utf-8", "surrogateescape"))
                out.flush()
        except KeyboardInterrupt:
            pass
    return 0
