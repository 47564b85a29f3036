"""A host of two processes whose counters the test moves, and a watch over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brainkernel.clock import SimulatedClock
from brainkernel.config import Config
from brainkernel.gate.baseline import Baseline
from brainkernel.metrics import Figures
from brainkernel.model import Decision, DecisionKind, Lesson, Limit, Outcome, ProcessKey, Suspect, Symptom, TaskSample
from brainkernel.observe.window import Snapshot, TaskUse
from brainkernel.watch import Ports, Watch
from support.nouns import SECOND_NS, a_suspect, a_task, a_verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.learn.experience import Experience

HOG, VICTIM = 100, 200
LADDER = (Limit(cpu_weight=20), Limit(cpu_weight=0), Limit(cpu_quota_pct=20.0))
HOG_KEY = ProcessKey(HOG, HOG * SECOND_NS)


@dataclass
class Host:
    """A host of two processes whose counters the test moves; the fake of everything around the watch."""

    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(1000 * SECOND_NS))
    hog_cpu_s: float = 0.0
    victim_wait_s: float = 0.0
    pressure_s: float = 0.0
    decided: list[Decision] = field(default_factory=list)
    noticed: list[Suspect] = field(default_factory=list)
    others: list[TaskSample] = field(default_factory=list)
    steps: list[tuple[int, Limit]] = field(default_factory=list)
    renewed: list[tuple[int, int]] = field(default_factory=list)
    released: list[tuple[int, str]] = field(default_factory=list)
    throttled_us: int | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    acts: bool = True
    pressed: bool = True
    snapshots: int = 0
    lessons: list[Lesson] = field(default_factory=list)
    kind: DecisionKind = DecisionKind.LIMIT
    below: dict[str, set[int]] = field(default_factory=lambda: {"/system.slice/hog.service": {7}})

    def snapshot(self) -> Snapshot:
        self.snapshots += 1
        tasks = (
            a_task(HOG, "hog", cpu_s=self.hog_cpu_s, cgroup_id=7),
            a_task(VICTIM, "mysqld", wait_s=self.victim_wait_s, cgroup_id=8),
            *self.others,
        )
        return Snapshot(
            time_ns=self.clock.boot_ns(), tasks={t.key: t for t in tasks}, pressure_total_us=int(self.pressure_s * 1e6), run_queue=None
        )

    def suspect_of(self, use: TaskUse) -> Suspect | None:
        assert use.comm in ("hog", "forker"), f"only these are unlike themselves, not {use.comm}"
        return a_suspect(f"/opt/batch/{use.comm}", key=use.key)

    def decide(self, suspect: Suspect, symptom: Symptom) -> Decision:
        decision = Decision(
            id=len(self.decided) + 1, time_ns=0, suspect=suspect, verdict=a_verdict(), kind=self.kind, reason="hurts",
            symptom=symptom, limit=LADDER[0] if self.acts else None, ladder=LADDER if self.acts else (), acts=self.acts,
        )  # fmt: skip
        self.decided.append(decision)
        return decision

    def step(self, action_id: int, limit: Limit, expires_ns: int) -> None:
        self.steps.append((action_id, limit))

    def renew(self, action_id: int, expires_ns: int) -> None:
        self.renewed.append((action_id, expires_ns))

    def release(self, action_id: int, why: str) -> None:
        self.released.append((action_id, why))

    def pass_seconds(self, watch: Watch, seconds: int, *, hurting: bool) -> None:
        for _ in range(seconds):
            self.clock.advance_to(self.clock.boot_ns() + SECOND_NS)
            self.hog_cpu_s += 1.0 if hurting else 0.2
            self.victim_wait_s += 0.5 if hurting else 0.0
            self.pressure_s += 0.6 if hurting else 0.0
            watch.tick()


def a_watch(host: Host, experience: Experience, *, exe_of: Callable[[ProcessKey], str]) -> Watch:
    ports = Ports(
        snapshot=host.snapshot,
        pressed=lambda: host.pressed,
        exe_of=exe_of,
        suspect_of=host.suspect_of,
        builds=lambda use: use.comm in ("make", "gcc", "cc1"),
        decide=host.decide,
        notice=host.noticed.append,
        run_queue_us=lambda _counts: None,
        check_interval_s=lambda: 30.0,
        policy_of=lambda _suspect: Config().policy,
        limits=host,
        cgroups_within=lambda path: host.below[path],
        throttled_us=lambda _action: host.throttled_us,
        learn=host.lessons.append,
        report_outcome=lambda _decision, outcome: host.outcomes.append(outcome),
    )
    return Watch(config=Config(), clock=host.clock, baseline=Baseline(), experience=experience, figures=Figures(), ports=ports)
