"""What the week must show, each with the figures it is judged by."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainkernel.config import Config
from brainkernel.decide.decision import Circumstances, decide
from brainkernel.decide.safety import Surroundings
from brainkernel.gate.gate import suspect_of
from brainkernel.learn.quality import Measure
from brainkernel.measuring import Measuring
from brainkernel.model import Category, Decision, DecisionKind, Symptom, Tier, Verdict, Victim
from brainkernel.monitoring.hostfigures import HostFigures
from brainkernel.sense.programtimes import ProgramTimes
from brainkernel.store.series import Series

from benchmarks.feedback.agent import is_right
from benchmarks.feedback.host import EDITOR, ORDINARY
from benchmarks.feedback.model import BACKEND, MODEL
from benchmarks.feedback.week import DAY_S, HOUR_S, SLOW, STORMS, S, key_of, start_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.effective import Effective
    from brainkernel.model import Suspect

    from benchmarks.feedback.agent import Run

WITHIN_S = 20 * 60  # of an hour's begin or end: the windows of the rules are five minutes, and they dwell for five
LEARNED_DAYS = (3, 7)  # in which the mistakes are compared
RIGHT_FROM = 0.05  # of false positives on, a slow model makes the agent bolder no more
RIGHT_KEPT = 0.8
ROLLBACK_S = 1.0
MONITORED_S, MONITORING_SHARE = 3_600, 0.01
HURTS = Symptom(
    window_ns=2 * S, target_cpu_pct=150, pressure_pct=40, run_queue_p99_us=20, victims=(Victim(key=EDITOR, comm="editor", wait_pct=40),)
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and whether it did."""

    name: str
    met: bool
    text: str


@dataclass(frozen=True, slots=True)
class Truth:
    """How the decisions about those who hurt really were, by the injected truth."""

    right_category: int
    wrong_limits: int
    limits: int
    missed: int
    right: int
    decisions: int

    def share(self, measure: Measure) -> float:
        """What a figure of quality should come to."""
        part, whole = {
            Measure.CORRECT_CLASSIFICATION: (self.right_category, self.decisions),
            Measure.FALSE_POSITIVE: (self.wrong_limits, self.limits),
            Measure.FALSE_NEGATIVE: (self.missed, self.missed + self.limits - self.wrong_limits),
            Measure.SATISFACTION: (self.right, self.decisions),
        }[measure]
        return part / whole if whole else 0.0


def truth_of(run: Run, from_s: int, to_s: int) -> Truth:
    """The truth about all decisions of a time."""
    decisions = [d for d in run.seen.hurting if from_s <= d.decided_ns // S < to_s]
    limits = [d for d in decisions if d.kind is DecisionKind.LIMIT]
    right = sum(is_right(d, _truth(run, d)) for d in decisions)
    return Truth(
        right_category=sum(d.verdict.category is _truth(run, d) for d in decisions),
        wrong_limits=sum(not is_right(d, _truth(run, d)) for d in limits),
        limits=len(limits),
        missed=sum(not is_right(d, _truth(run, d)) for d in decisions if d.kind is not DecisionKind.LIMIT),
        right=right,
        decisions=len(decisions),
    )


def convergence(run: Run, end_s: int) -> Iterator[Check]:
    """Each figure of quality over seven days, against the truth about all decisions."""
    truth = truth_of(run, 0, end_s)
    for rate in run.whole.judging.rates:
        if rate.window != "7d":
            continue
        true = truth.share(rate.measure)
        name = f"figure {rate.measure.value.replace('_', ' ')} comes to the truth"
        if rate.value is None or rate.low is None or rate.high is None:
            yield Check(name, met=False, text=f"not enough data ({rate.samples:g} samples)")
            continue
        text = f"{100 * rate.value:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f}) of {rate.samples:g} samples; truth {100 * true:.1f} %"
        yield Check(name, rate.low <= true <= rate.high, text)


def strategies(run: Run) -> Check:
    """The switches of the strategy: at the hours of the script, to what the rules ask for, and at no other time."""
    switched = sorted(
        ((entry.time_ns - run.clock.offset_to_wall_ns) // S, entry.text.partition(":")[0].partition(" -> ")[2])
        for entry in run.whole.store.audit.of(("strategy",))
    )
    expected = []
    for day, hour, hours in (*SLOW, *STORMS):
        begin_s = day * DAY_S + hour * HOUR_S
        truth = truth_of(run, begin_s - DAY_S, begin_s)
        bold = (day, hour, hours) in SLOW and truth.share(Measure.FALSE_POSITIVE) < RIGHT_FROM
        expected += [(begin_s, "aggressive" if bold else "conservative"), (begin_s + hours * HOUR_S, "balanced")]
    met = len(switched) == len(expected) and all(
        0 <= at_s - due_s <= WITHIN_S and now == wanted for (at_s, now), (due_s, wanted) in zip(switched, sorted(expected), strict=True)
    )
    return Check(
        "strategy switches at the right hours, and only then", met, f"{_switches(switched)}; expected from {_switches(sorted(expected))}"
    )


def learned_in(run: Run) -> Truth:
    """The truth about the days in which the mistakes are compared."""
    return truth_of(run, *(day * DAY_S for day in LEARNED_DAYS))


def learning(first_day: Truth, ours: Truth, theirs: Truth) -> Iterator[Check]:
    """Wrong limits with learning, against the first day and the same week without; and that it did not limit nobody instead."""
    text = f"{ours.wrong_limits} of {ours.limits} limits wrong on days {LEARNED_DAYS[0] + 1} to {LEARNED_DAYS[1]}, without learning "
    text += f"{theirs.wrong_limits} of {theirs.limits}; on the first day {first_day.wrong_limits} of {first_day.limits}"
    of_the_first = 2 * ours.share(Measure.FALSE_POSITIVE) <= first_day.share(Measure.FALSE_POSITIVE)
    yield Check("learning halves the wrong limits, at least", of_the_first and 2 * ours.wrong_limits <= theirs.wrong_limits, text)
    right, right_before = ours.limits - ours.wrong_limits, theirs.limits - theirs.wrong_limits
    text = f"{right} right limits in that time, without learning {right_before}"
    yield Check("learning keeps the right limits", RIGHT_KEPT * right_before <= right, text)


def figures_of(run: Run) -> dict[str, Any]:
    """What the version in force decides about every program of the week, were each judged anew and did it hurt now."""
    effective = run.whole.arms.current
    kinds = {exe: _decided(effective, suspect, job.said).kind.value for exe, (suspect, job) in _probes(run).items()}
    wrong = [exe for exe, kind in kinds.items() if (kind == "limit") is not bool(Config().policy.of(run.week.truth[exe].truth).limits)]
    return {"version": effective.number, "limits": sum(kind == "limit" for kind in kinds.values()), "wrong": len(wrong), "kinds": kinds}


def rollback(run: Run, before: dict[str, Any]) -> Iterator[Check]:
    """Back to the version of the week's begin, and forth again: the figures are those of before, program by program."""
    versioning = run.whole.improving.versioning
    learned = figures_of(run)
    if learned["version"] == before["version"]:
        yield Check(
            "rollback restores the earlier figures exactly", met=False, text="nothing was learned, so there is nothing to go back from"
        )
        return
    began = time.perf_counter()
    versioning.rollback(before["version"], "bench")
    took_s = time.perf_counter() - began
    back = figures_of(run)
    versioning.rollback(learned["version"], "bench")
    forth = figures_of(run)
    text = (
        f"version {learned['version']} -> {before['version']}: {learned['limits']} limits, {learned['wrong']} wrong -> {back['limits']}, "
        f"{back['wrong']}, as at the begin; and forth again to {forth['limits']}, {forth['wrong']}"
    )
    exact = back == before and forth == learned and learned["kinds"] != before["kinds"]
    yield Check("rollback restores the earlier figures exactly", exact, text)
    yield Check("rollback takes less than a second", took_s < ROLLBACK_S, f"{1000 * took_s:.0f} ms")


def monitoring(run: Run, directory: Path) -> Check:
    """What the pipeline of each second costs, with all figures of the week, the host's own /proc and a file of its own."""
    (directory / "state").mkdir(parents=True)
    clock, figures = run.clock, run.whole.figures
    series = Series(directory / "state", clock, run.seen.notice)
    host = HostFigures(Path("/proc"), directory / "state", figures, others=(ProgramTimes(Path("/proc"), figures),))
    measuring = Measuring(figures=figures, host=host, series=series, clock=clock, tell=lambda _name, _text: None)
    began_s = time.process_time()
    for _ in range(MONITORED_S):
        clock.advance_to(clock.boot_ns() + S)
        measuring.tick()
    share = (time.process_time() - began_s) / MONITORED_S
    count = len(measuring.figures_of((), 0, 0, 0).names)
    measuring.close()
    text = f"{1e3 * share:.2f} ms of CPU a second for {count} figures, {100 * share:.3f} % of one core"
    return Check("the monitoring pipeline takes less than 1 % of one core", share < MONITORING_SHARE, text)


def _probes(run: Run) -> dict[str, tuple[Suspect, Any]]:
    key = key_of(99_999, S)
    return {job.exe: (suspect_of(start_of(job.exe, run.week.anything, key=key), ()), job) for job in run.week.jobs}


def _decided(effective: Effective, suspect: Suspect, said: Category) -> Decision:
    asked = Verdict(category=said, confidence=0.9, tier=Tier.LLM, reason="by its name", model=f"{BACKEND}/{MODEL}")
    verdict = effective.rules.judge(suspect) or effective.model.judge(suspect) or asked
    around = Surroundings(suspect=suspect, standing=ORDINARY, ancestor_exes=(), own=frozenset(), limits_last_minute=0, limits_active=0)
    learned = effective.standards.caution.objection(suspect, verdict, HURTS)
    circumstances = Circumstances(id=1, time_ns=0, symptom=HURTS, surroundings=around, learned=learned, throttle_threshold=0.5)
    return decide(suspect, verdict, circumstances, effective.standards.config)


def _truth(run: Run, decision: Decision) -> Category:
    return run.week.truth[decision.suspect.program.exe].truth


def _switches(switches: list[tuple[int, str]]) -> str:
    return ", ".join(f"day {s // DAY_S + 1} {s % DAY_S // HOUR_S:02}:{s % HOUR_S // 60:02} {name}" for s, name in switches) or "none"
