"""The second way into the pipeline: those who already run. Who hurts whom, and what becomes of the limits that stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from brainkernel.act.choice import SHELLS
from brainkernel.decide.ladder import Held, Move, calm_below, lease_ns_of, moved, next_move
from brainkernel.gate.anomaly import Unlike, anomalies_of
from brainkernel.learn.experience import Experience, lesson_of
from brainkernel.metrics import PRESSURE, RUN_QUEUE_SECONDS
from brainkernel.observe.effect import Before, outcome_of
from brainkernel.observe.symptom import Culprit, culprits_of, symptom_of
from brainkernel.observe.window import History, ancestors_of, families_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from brainkernel.clock import Clock
    from brainkernel.config import Config, Policy
    from brainkernel.gate.baseline import Baseline
    from brainkernel.metrics import Figures
    from brainkernel.model import Action, Decision, Lesson, Limit, Outcome, ProcessKey, Reason, Suspect, Symptom
    from brainkernel.observe.window import Snapshot, TaskUse, Window

NS_PER_S = 1_000_000_000
IDLE_TICKS = 5
_CHARGED_FROM = 0.2  # of the share of a CPU at which a target hurts: each make below another one is charged by itself
BUSY_PCT = 1.0  # below it a process's share is not worth learning


class Limits(Protocol):
    """What `act` offers to whoever tends limits. None of it waits."""

    def step(self, action_id: int, limit: Limit, expires_ns: int) -> None:
        """Replace the limit of an action by another one."""
        ...

    def renew(self, action_id: int, expires_ns: int) -> None:
        """Let a limit stand until then."""
        ...

    def release(self, action_id: int, why: str) -> None:
        """End a limit."""
        ...


@dataclass(slots=True, kw_only=True)
class _Tended:
    # One limit that stands, with what is needed to judge it.
    decision: Decision
    held: Held
    before: Before
    throttled_us: int | None = None  # of its cgroup, when this step began
    outcome: Outcome | None = None  # of this step
    wanted: Held | None = None  # a move that is under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the watch calls: everything that touches the system or the outside."""

    snapshot: Callable[[], Snapshot]
    pressed: Callable[[], bool]  # whether somebody waited for a CPU lately
    exe_of: Callable[[ProcessKey], str]
    suspect_of: Callable[[TaskUse], Suspect | None]  # None: it ended
    builds: Callable[[TaskUse], bool]  # whether the rules call it development
    decide: Callable[[Suspect, Symptom], Decision]  # judges, concludes and reports
    notice: Callable[[Suspect], None]  # the same of one that is unlike itself and hurts nobody
    run_queue_us: Callable[[tuple[int, ...]], tuple[float, float] | None]  # counts -> p50, p99
    check_interval_s: Callable[[], float]  # of the strategy in force
    policy_of: Callable[[Suspect], Policy]  # of the version that decides about it
    limits: Limits
    cgroups_within: Callable[[str], Collection[int]]  # ids of the cgroup of this path and of those below it
    throttled_us: Callable[[Action], int | None]  # how long a quota held it back so far; None: it has none
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
        self._building: dict[tuple[ProcessKey, str], bool] = {}  # whether a process is part of a build
        self._unlike = Unlike(baseline, config.gate)

    def tick(self) -> None:
        """Take a sample, judge those who hurt others, tend the limits.

        On a host where nobody waits only one tick in `IDLE_TICKS` samples: for the habits.
        """
        self._idle_ticks = 0 if self._ports.pressed() or self._tended else self._idle_ticks + 1
        if self._idle_ticks % IDLE_TICKS:
            return
        window_ns = int(self.config.symptoms.window_s * NS_PER_S)
        self._history.keep_ns = 2 * window_ns
        self._history.add(self._ports.snapshot())
        window = self._history.window(window_ns)
        if window is None:
            return
        self.window = window = self._charged(window)
        p99_us = self._measure(window)
        limited = self._limited_in(window)
        culprits = culprits_of(window, self.config.symptoms, limited=limited, p99_us=p99_us)
        for culprit in culprits:
            self._consider(culprit, window)
        self._notice_the_unlike(window)
        self._learn_habits(window)
        for tended in list(self._tended.values()):
            self._tend(tended, window, limited, p99_us)
        self._forget_the_ended(window)

    def applied(self, action: Action) -> Decision | None:
        """Take note that `act` wrote a limit (or the next step of one); returns its decision, None if it is not known here."""
        now_ns = self._clock.boot_ns()
        throttled_us = self._ports.throttled_us(action)
        if self._is_new(action.id):
            self._history.add(self._ports.snapshot())  # the window that judges this step begins now, not at the next tick
        if tended := self._tended.get(action.id):
            tended.held = replace(tended.wanted or tended.held, action=action, stepped_ns=now_ns)
            tended.before = replace(tended.before, action=action)
            tended.throttled_us, tended.outcome, tended.wanted = throttled_us, None, None
            return tended.decision
        if (asked := self._asked_for.pop(action.id, None)) is None:
            return None
        decision, job = asked
        assert decision.symptom is not None  # noqa: S101 # a limit without a symptom is not proposed
        lease_ns = action.expires_ns - action.started_ns
        held = Held(action=action, step=action.step, stepped_ns=now_ns, expires_ns=action.expires_ns, lease_ns=lease_ns)
        before = Before(action=action, symptom=decision.symptom, job=job)
        self._tended[action.id] = _Tended(decision=decision, held=held, before=before, throttled_us=throttled_us)
        return decision

    def _is_new(self, action_id: int) -> bool:
        # Not what only took in processes that joined, as happens each second.
        return action_id in self._asked_for or (action_id in self._tended and self._tended[action_id].wanted is not None)

    def refused(self, decision_id: int, *, old_step_stands: bool = False) -> Decision | None:
        """Take note that `act` could not write a limit, or not its next step: then the one before stands, or it ends."""
        if tended := self._tended.get(decision_id):
            if old_step_stands and tended.wanted:  # passed over: the next one may be possible
                tended.held = replace(tended.wanted, stepped_ns=tended.held.stepped_ns)
            tended.wanted = None
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
        if self._clock.boot_ns() >= tended.held.expires_ns:
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

    # Compilers that live for less than a window are hardly ever seen; whoever waits for them has used what they did.
    # A shell that waits for its commands is no such program, nor is systemd. Where there is peace nobody asks.
    def _charged(self, window: Window) -> Window:
        symptoms = self.config.symptoms
        if window.pressure_pct < calm_below(symptoms).pressure_pct:
            return window
        enough_pct = symptoms.target_cpu_pct * _CHARGED_FROM
        builders = {use.key for use in window.uses.values() if use.reaped_pct >= enough_pct and self._builds(use)}
        return window.charged(builders) if builders else window

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
        # A job's workers come and go; the limit goes to the topmost process of the same program in the same cgroup. A build is one
        # job too: compilers live for a second, so that it goes to the make above them, through the shells of its recipes.
        root, exe = use, self._ports.exe_of(use.key)
        for above in ancestors_of(window, use):
            if above.cgroup_id != use.cgroup_id:
                break
            above_exe = self._ports.exe_of(above.key)
            if (exe and above_exe == exe) or (self._builds(use) and self._builds(above)):
                root = above
            elif not (self._builds(use) and above_exe.rpartition("/")[2] in SHELLS):
                break
        return root

    def _builds(self, use: TaskUse) -> bool:
        known = (use.key, use.comm)  # a shell becomes what it was told to run
        if known not in self._building:
            self._building[known] = self._ports.builds(use)
        return self._building[known]

    # Before this window is learned: it would be part of the habit that it breaks.
    def _notice_the_unlike(self, window: Window) -> None:
        self._unlike.config = self.config.gate
        for use, reason in self._unlike_in(window):
            if not self._said_lately(use.key) and not self.is_limited(use.key) and (suspect := self._ports.suspect_of(use)):
                self._ports.notice(replace(suspect, reasons=(reason,), seen_ns=window.end_ns))
        self._unlike.keep_only(window.uses.keys() | window.jobs.keys())

    def _unlike_in(self, window: Window) -> Iterator[tuple[TaskUse, Reason]]:
        for use in window.uses.values():
            exe = self._ports.exe_of(use.key) if use.cpu_pct >= BUSY_PCT else ""
            if reason := self._unlike.by_share(use.key, exe, use.cpu_pct):
                yield use, reason
        for job, uses in window.jobs.items():
            born = sum(use.key.start_ns >= window.start_ns for use in uses)
            if reason := self._unlike.by_births(job, born, window.length_ns / NS_PER_S):
                yield min(uses, key=lambda use: use.key.start_ns), reason

    def _learn_habits(self, window: Window) -> None:
        for use in window.uses.values():
            if use.cpu_pct >= BUSY_PCT and (exe := self._ports.exe_of(use.key)):
                self._baseline.habit_of(exe).learn(use.cpu_pct)

    def _limited_in(self, window: Window) -> set[ProcessKey]:
        # What a limited unit put into cgroups of its own waits for the same quota.
        own = [action for action in self.actions if action.owns_cgroup and action.cgroup_id]
        cgroups = {action.cgroup_id for action in own}.union(*(self._ports.cgroups_within(action.cgroup) for action in own))
        one_by_one = {key for action in self.actions if not action.owns_cgroup for key in (action.target, *action.moved)}
        found = {use.key for use in window.uses.values() if use.cgroup_id in cgroups}
        return found | families_of(window, one_by_one) if one_by_one else found

    def _tend(self, tended: _Tended, window: Window, limited: set[ProcessKey], p99_us: float | None) -> None:
        action = tended.held.action
        uses = [u for u in window.uses.values() if u.key == action.target or u.key in action.moved or u.comm == tended.before.job[1]]
        if not uses or tended.wanted or window.start_ns < tended.held.stepped_ns:
            return  # ended, about to change, or not yet a whole window under this step
        outcome = self._measure_effect(tended, window, p99_us)
        worst, symptoms, now_ns = max(uses, key=lambda u: u.cpu_pct), self.config.symptoms, self._clock.boot_ns()
        move = next_move(
            tended.held,
            now_ns,
            steps=len(tended.decision.ladder),
            harm=symptom_of(window, worst, symptoms, limited=limited, p99_us=p99_us) is not None,
            calm=symptom_of(window, worst, calm_below(symptoms), limited=limited, p99_us=p99_us) is None,
            helped=outcome.helped,
            policy=self._ports.policy_of(tended.decision.suspect),
        )
        self._make(move, tended, now_ns)

    def _make(self, move: Move, tended: _Tended, now_ns: int) -> None:
        action_id = tended.held.action.id
        held = moved(tended.held, move, now_ns)
        match move:
            case Move.UP | Move.DOWN:
                tended.wanted = held  # asked for once, not at each tick until it is done
                self._ports.limits.step(action_id, tended.decision.ladder[held.step], held.expires_ns)
            case Move.RENEW:
                tended.held = held
                self._ports.limits.renew(action_id, held.expires_ns)
            case Move.GIVE_UP:
                self._ports.limits.release(action_id, "its strongest step helped nobody")

    def _measure_effect(self, tended: _Tended, window: Window, p99_us: float | None) -> Outcome:
        if tended.outcome is not None:
            return tended.outcome
        outcome = outcome_of(tended.before, window, p99_us=p99_us, throttled_pct=self._throttled_pct(tended))
        tended.outcome = outcome
        self._ports.report_outcome(tended.decision, outcome)
        if outcome.helped or tended.held.step + 1 >= len(tended.decision.ladder):
            self._ports.learn(lesson_of(tended.decision, outcome=outcome))
        return outcome

    def _throttled_pct(self, tended: _Tended) -> float | None:
        now_us, elapsed_ns = self._ports.throttled_us(tended.held.action), self._clock.boot_ns() - tended.held.stepped_ns
        if now_us is None or tended.throttled_us is None or elapsed_ns <= 0:
            return None
        # Each CPU on which it would run is counted by itself.
        return min(100.0, 100 * 1000 * max(0, now_us - tended.throttled_us) / elapsed_ns)

    def lease_ns_for(self, suspect: Suspect) -> int:
        """How long a new limit on this program may stand."""
        return lease_ns_of(self._ports.policy_of(suspect), self._experience.times_needed(suspect.identity, self._clock.wall_ns()))

    def _forget_the_ended(self, window: Window) -> None:
        for key in [k for k in self._said if k not in window.uses]:
            del self._said[key]
        for known in [k for k in self._building if k[0] not in window.uses]:
            del self._building[known]
