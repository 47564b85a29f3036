"""The second way into the pipeline: those who already run. Who hurts whom, and what becomes of the limits that stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from brainkernel.config import limit_of
from brainkernel.decide.ladder import Held, lease_ns_of, steps_up
from brainkernel.gate.anomaly import anomalies_of
from brainkernel.learn.experience import Experience, lesson_of
from brainkernel.metrics import PRESSURE, RUN_QUEUE_SECONDS
from brainkernel.observe.effect import Before, outcome_of
from brainkernel.observe.symptom import Culprit, culprits_of, symptom_of
from brainkernel.observe.window import History

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from brainkernel.clock import Clock
    from brainkernel.config import Config, Policy
    from brainkernel.gate.baseline import Baseline
    from brainkernel.metrics import Figures
    from brainkernel.model import Action, Decision, Lesson, Limit, Outcome, ProcessKey, Suspect, Symptom
    from brainkernel.observe.window import Snapshot, TaskUse, Window

NS_PER_S = 1_000_000_000
IDLE_TICKS = 5
BUSY_PCT = 1.0  # below it a process's share is not worth learning


class Limits(Protocol):
    """What `act` offers to whoever tends limits. None of it waits."""

    def step(self, action_id: int, limit: Limit, expires_ns: int) -> None:
        """Replace the limit of an action by another one."""
        ...


@dataclass(slots=True, kw_only=True)
class _Tended:
    # One limit that stands, with what is needed to judge it.
    decision: Decision
    held: Held
    before: Before
    measured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the watch calls: everything that touches the system or the outside."""

    snapshot: Callable[[], Snapshot]
    pressed: Callable[[], bool]  # whether somebody waited for a CPU lately
    exe_of: Callable[[ProcessKey], str]
    suspect_of: Callable[[TaskUse], Suspect | None]  # None: it ended
    decide: Callable[[Suspect, Symptom], Decision]  # judges, concludes and reports
    run_queue_us: Callable[[tuple[int, ...]], tuple[float, float] | None]  # counts -> p50, p99
    check_interval_s: Callable[[], float]  # of the strategy in force
    policy_of: Callable[[Suspect], Policy]  # of the version that decides about it
    limits: Limits
    cgroups_within: Callable[[str], Collection[int]]  # ids of the cgroup of this path and of those below it
    report_outcome: Callable[[Decision, Outcome], None]
    learn: Callable[[Lesson], None]


class Watch:
    """Samples all tasks each tick. One thread; `tick` never waits."""

    def __init__(self, *, config: Config, clock: Clock, baseline: Baseline, experience: Experience, figures: Figures, ports: Ports) -> None:
        self.config = config
        self._clock = clock
        self._baseline = baseline
        self._experience = experience
        self._figures = figures
        self._ports = ports
        self._history = History(2 * int(config.symptoms.window_s * NS_PER_S))
        self.window: Window | None = None  # the last one that was judged
        self._idle_ticks = 0
        self._tended: dict[int, _Tended] = {}
        self._asked_for: dict[int, tuple[Decision, tuple[int, str]]] = {}  # limits under way
        self._said: dict[ProcessKey, int] = {}  # when each process was decided about last

    def tick(self) -> None:
        """Take a sample, judge those who hurt others, tend the limits.

        On a host where nobody waits only one tick in `IDLE_TICKS` samples: for the habits.
        """
        self._idle_ticks = 0 if self._ports.pressed() or self._tended else self._idle_ticks + 1
        if self._idle_ticks % IDLE_TICKS:
            return
        self._history.add(self._ports.snapshot())
        window = self._history.window(int(self.config.symptoms.window_s * NS_PER_S))
        if window is None:
            return
        self.window = window
        p99_us = self._measure(window)
        limited = self._limited_cgroups()
        culprits = culprits_of(window, self.config.symptoms, limited_cgroups=limited, p99_us=p99_us)
        for culprit in culprits:
            self._consider(culprit, window)
        self._learn_habits(window)
        for tended in list(self._tended.values()):
            self._tend(tended, window, limited, p99_us)
        self._forget_the_ended(window)

    def applied(self, action: Action) -> Decision | None:
        """Take note that `act` wrote a limit (or the next step of one); returns its decision, None if it is not known here."""
        if tended := self._tended.get(action.id):
            tended.held = replace(tended.held, action=action, step=tended.held.step + 1, stepped_ns=self._clock.boot_ns())
            tended.before = replace(tended.before, action=action)
            tended.measured = False
            return tended.decision
        if (asked := self._asked_for.pop(action.id, None)) is None:
            return None
        decision, job = asked
        assert decision.symptom is not None  # noqa: S101 # a limit without a symptom is not proposed
        held = Held(action=action, step=0, stepped_ns=self._clock.boot_ns())
        self._tended[action.id] = _Tended(decision=decision, held=held, before=Before(action=action, symptom=decision.symptom, job=job))
        return decision

    def refused(self, decision_id: int) -> Decision | None:
        """Take note that `act` could not write a limit, or not its next step."""
        if tended := self._tended.get(decision_id):
            return tended.decision
        asked = self._asked_for.pop(decision_id, None)
        return asked[0] if asked else None

    def reconsider(self, key: ProcessKey) -> None:
        """Decide about a process again as soon as it hurts, because more is known of it now."""
        self._said.pop(key, None)

    def released(self, action: Action) -> None:
        """Take note that a limit stands no more."""
        if (tended := self._tended.pop(action.id, None)) is None:
            return
        self._said.pop(action.target, None)
        if self._clock.boot_ns() >= action.expires_ns:
            self._experience.ended(tended.decision.suspect.identity, self._clock.wall_ns())

    @property
    def actions(self) -> list[Action]:
        """All limits that stand."""
        return [t.held.action for t in self._tended.values()]

    def is_limited(self, key: ProcessKey) -> bool:
        """Whether a process is under a limit of ours, or about to be."""
        return any(key == a.target or key in a.moved for a in self.actions) or any(
            d.suspect.key == key for d, _ in self._asked_for.values()
        )

    @property
    def limits_pending(self) -> int:
        """How many limits were proposed and not yet written."""
        return len(self._asked_for)

    # What a limited unit put into cgroups of its own waits for the same quota.
    def _limited_cgroups(self) -> set[int]:
        own = [action for action in self.actions if action.cgroup_id]
        return {action.cgroup_id for action in own}.union(*(self._ports.cgroups_within(action.cgroup) for action in own))

    def _measure(self, window: Window) -> float | None:
        self._figures.set(PRESSURE, window.pressure_pct / 100)
        quantiles = self._ports.run_queue_us(window.run_queue) if window.run_queue else None
        if quantiles is None:
            return None
        for name, value_us in zip(("0.5", "0.99"), quantiles, strict=True):
            self._figures.set(RUN_QUEUE_SECONDS, value_us / 1e6, name)
        return quantiles[1]

    def _consider(self, culprit: Culprit, window: Window) -> None:
        target = self._root_of(culprit.worst, window)
        if self._said_lately(target.key) or self.is_limited(target.key) or self.is_limited(culprit.worst.key):
            return
        suspect = self._ports.suspect_of(target)
        if suspect is None:
            return
        cpu_pct = culprit.symptom.target_cpu_pct
        reasons = anomalies_of(suspect.program.exe, cpu_pct, culprit.symptom, self._baseline, self.config.gate)
        suspect = replace(suspect, reasons=reasons, seen_ns=window.end_ns)
        decision = self._ports.decide(suspect, culprit.symptom)
        self._said[suspect.key] = self._clock.boot_ns()
        if decision.acts:
            self._asked_for[decision.id] = (decision, culprit.worst.job)

    def _said_lately(self, key: ProcessKey) -> bool:
        # Proposed in observe mode, refused or left alone: worth judging again after the strategy's time, or a shorter one.
        said_ns = self._said.get(key)
        again_s = min(self.config.gate.debounce_s, self._ports.check_interval_s())
        return said_ns is not None and self._clock.boot_ns() - said_ns < again_s * NS_PER_S

    def _root_of(self, use: TaskUse, window: Window) -> TaskUse:
        # A job's workers come and go; the limit goes to the topmost process of the same program in the same cgroup.
        by_pid = {u.key.tgid: u for u in window.uses.values()}
        exe = self._ports.exe_of(use.key)
        while (parent := by_pid.get(use.ppid)) and parent.cgroup_id == use.cgroup_id and exe and self._ports.exe_of(parent.key) == exe:
            use = parent
        return use

    def _learn_habits(self, window: Window) -> None:
        for use in window.uses.values():
            if use.cpu_pct >= BUSY_PCT and (exe := self._ports.exe_of(use.key)):
                self._baseline.habit_of(exe).learn(use.cpu_pct)

    def _tend(self, tended: _Tended, window: Window, limited: set[int], p99_us: float | None) -> None:
        action = tended.held.action
        uses = [u for u in window.uses.values() if u.key == action.target or u.key in action.moved or u.comm == tended.before.job[1]]
        if not uses or window.start_ns < tended.held.stepped_ns:
            return  # ended, or not yet a whole window under this step
        self._measure_effect(tended, window)
        worst = max(uses, key=lambda u: u.cpu_pct)
        symptom = symptom_of(window, worst, self.config.symptoms, limited_cgroups=limited, p99_us=p99_us)
        policy = self._ports.policy_of(tended.decision.suspect)
        category = policy.of(tended.decision.verdict.category)
        now_ns = self._clock.boot_ns()
        if steps_up(tended.held, symptom, now_ns, policy, category):
            limit = limit_of(category.limits[tended.held.step + 1])
            tended.held = replace(tended.held, stepped_ns=now_ns)  # asked for once, not at each tick until it is done
            self._ports.limits.step(action.id, limit, action.expires_ns)

    def _measure_effect(self, tended: _Tended, window: Window) -> None:
        if tended.measured:
            return
        tended.measured = True
        outcome = outcome_of(tended.before, window)
        self._ports.report_outcome(tended.decision, outcome)
        last_step = tended.held.step + 1 >= len(self._ports.policy_of(tended.decision.suspect).of(tended.decision.verdict.category).limits)
        if outcome.helped or last_step:
            self._ports.learn(lesson_of(tended.decision, outcome=outcome))

    def lease_ns_for(self, suspect: Suspect) -> int:
        """How long a new limit on this program may stand."""
        return lease_ns_of(self._ports.policy_of(suspect), self._experience.times_needed(suspect.identity, self._clock.wall_ns()))

    def _forget_the_ended(self, window: Window) -> None:
        for key in [k for k in self._said if k not in window.uses]:
            del self._said[key]
