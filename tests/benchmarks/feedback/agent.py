"""The real agent, all of it, over the simulated host; and the people who look at what it decides."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
from brainkernel.clock import SimulatedClock
from brainkernel.composition import Paths
from brainkernel.composition.ground import Ground
from brainkernel.composition.whole import Whole
from brainkernel.config import Agent as AgentConfig
from brainkernel.config import Config, Http, Learning, Llm, Quality
from brainkernel.link.frames import Peer
from brainkernel.link.messages import GATEWAY_SOCKET
from brainkernel.link.people import FeedbackArguments
from brainkernel.model import Category, Decision, DecisionKind
from brainkernel.report import Report
from brainkernel.sense.loader import Chosen

from benchmarks.feedback.host import HOG_CPU, World, WorldLimiter, WorldLoader, WorldSenses
from benchmarks.feedback.model import SimulatedGateway
from benchmarks.feedback.week import INCIDENT_S, LOOKED_AT, SLOW, STORMS, S, Week, is_in, key_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.agent import Agent
    from brainkernel.model import Action, Exec, Outcome, Refusal, ReleaseResult

    from benchmarks.feedback.week import Happening

WALL_NS = 1_795_392_000 * S  # a Monday, 0 o'clock in UTC
QUIET_S, SPECIAL_S, INCIDENT_TICK_S, LOOK_AFTER_S = 120, 10, 2, 90
PEOPLE = (1000, 1001, 1002)
DEADLINE_MS = 9_000  # the slow model still answers in time: it is the budget that is broken


def config_of(*, learning: bool) -> Config:
    """The week's configuration: it acts, and believes what people say.

    The measured effect has no weight: that a limit helped those who waited does not say that it hit the right one.
    """
    return Config(
        agent=AgentConfig(mode="enforce"),
        llm=Llm(may_act=True, deadline_ms=DEADLINE_MS),
        http=Http(listen=""),
        quality=Quality(effect_weight=0.0),
        learning=Learning(enabled=learning),
    )


class WorldWhole(Whole):
    """The composition root with the simulated host in the place of this one; everything else is the agent's own."""

    def __init__(self, read_config: Callable[[], Config], ground: Ground, world: World) -> None:
        super().__init__(read_config, ground, lambda: Chosen(WorldLoader(world), "the week is simulated"))
        self._world = world

    def make_senses(self) -> WorldSenses:
        senses = WorldSenses(self.ground, self.store, self.loader())
        senses.world = self._world
        return senses

    def make_limiter(self) -> WorldLimiter:  # type: ignore[override] # what `act` is asked for, without systemd
        return WorldLimiter(self._world)


@dataclass(slots=True)
class Seen(Report):
    """Keeps what was decided about those who hurt, and what was told."""

    clock: SimulatedClock
    hurting: list[Decision] = field(default_factory=list)
    limited: set[int] = field(default_factory=set)
    told: list[tuple[int, str]] = field(default_factory=list)

    def event(self, event: Exec, *, passed: bool) -> None:
        """Not needed."""

    def decision(self, decision: Decision) -> None:
        if decision.symptom is not None:
            self.hurting.append(decision)

    def action(self, decision: Decision, action: Action) -> None:
        self.limited.add(decision.id)

    def not_applied(self, decision: Decision, refusal: Refusal) -> None:
        """Not needed."""

    def released(self, action: Action, result: ReleaseResult, why: str) -> None:
        """Not needed."""

    def outcome(self, decision: Decision, outcome: Outcome) -> None:
        """Not needed."""

    def notice(self, text: str) -> None:
        self.told.append((self.clock.boot_ns() // S, text))


@dataclass(slots=True)
class Run:
    """One week, from the first tick to the last."""

    week: Week
    directory: Path
    seed: int
    learning: bool
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(now_boot_ns=S, offset_to_wall_ns=WALL_NS))
    world: World = field(init=False)
    seen: Seen = field(init=False)
    whole: WorldWhole = field(init=False)
    agent: Agent = field(init=False)
    gateway: SimulatedGateway = field(init=False)
    ticks: int = 0
    _dice: random.Random = field(init=False)
    _ends: list[tuple[int, int]] = field(default_factory=list)  # when which pid ends
    _looks: list[tuple[int, int]] = field(default_factory=list)  # when a person looks at which of the decisions
    _pids: int = 100_000
    _considered: int = 0

    def __post_init__(self) -> None:
        """Put the agent together in a directory of its own."""
        for name in ("state", "run", "root/proc"):
            (self.directory / name).mkdir(parents=True)
        paths = Paths(
            state_dir=self.directory / "state",
            runtime_dir=self.directory / "run",
            config_file=self.directory / "brainkernel.toml",
            root=self.directory / "root",
        )
        config = config_of(learning=self.learning)
        self._dice = random.Random(self.seed + 1)  # noqa: S311 # as in week.py
        self.world, self.seen = World(self.clock), Seen(self.clock)
        self.whole = WorldWhole(lambda: config, Ground(config, paths, self.clock, self.seen), self.world)
        self.agent = self.whole.agent()
        self.gateway = SimulatedGateway(paths.runtime_dir / GATEWAY_SOCKET, self.clock, self._opinion)
        self._turn()

    def until(self, end_s: int, happenings: list[Happening]) -> list[Happening]:
        """Live until a second of the week; returns what has not happened by then."""
        place = 0
        while self._now_s < end_s:
            while place < len(happenings) and happenings[place].at_s <= self._now_s:
                self._begin(happenings[place])
                place += 1
            self._turn()
            coming = [happenings[place].at_s] if place < len(happenings) else []
            self._advance_to(min([end_s, self._now_s + self._step_s, *coming, *(t for t, _ in self._ends[:1] + self._looks[:1])]))
        return happenings[place:]

    def close(self) -> None:
        """Stop the agent as a signal would."""
        self.agent.release_all(1.0)
        self.agent.close()
        self.gateway.close()

    @property
    def _now_s(self) -> int:
        return self.clock.boot_ns() // S

    @property
    def _step_s(self) -> int:
        if any(process.cpus for process in self.world.processes.values()):
            return INCIDENT_TICK_S
        return SPECIAL_S if is_in(self._now_s, (*SLOW, *STORMS)) else QUIET_S

    def _opinion(self, exe: str) -> Category:
        job = self.week.truth.get(exe)
        return job.said if job else Category.DEVELOPMENT

    def _begin(self, happening: Happening) -> None:
        self._pids += 1
        key = key_of(self._pids, self.clock.boot_ns())
        lasting_s = INCIDENT_S if happening.job else 2
        event = msgspec.structs.replace(happening.start, key=key, time_ns=self.clock.boot_ns())
        self.world.begin(event, HOG_CPU if happening.job else 0.0)
        heapq.heappush(self._ends, (self._now_s + lasting_s, self._pids))

    # What the daemon's loop does between two ticks, and the tick.
    def _turn(self) -> None:
        self.world.storm = is_in(self._now_s, STORMS)
        while self._ends and self._ends[0][0] <= self._now_s:
            _, pid = heapq.heappop(self._ends)
            self.world.end(next(key for key in self.world.processes if key.tgid == pid))
        self.whole.tiers.asker.on_readable()
        self.agent.between()
        self.whole.limits.take_results()
        self.agent.tick()
        self.whole.limits.take_results()
        self.ticks += 1
        self._look()

    # The model answers in milliseconds: between two seconds of the week the agent's loop turns for it alone.
    def _advance_to(self, to_s: int) -> None:
        end_ns = max(to_s, self._now_s + 1) * S
        while self.whole.tiers.asking.busy or self.gateway.busy:
            self.whole.tiers.asker.on_readable()
            self.gateway.serve()
            self.whole.tiers.asker.on_readable()
            self.agent.between()
            if self.clock.boot_ns() + 100_000_000 >= end_ns:
                break
            self.clock.advance_to(self.clock.boot_ns() + 100_000_000)
        self.clock.advance_to(end_ns)

    # Some time after a decision about somebody who hurt, a person looks at it, or nobody does.
    def _look(self) -> None:
        for place in range(self._considered, len(self.seen.hurting)):
            if self._dice.random() < LOOKED_AT:
                heapq.heappush(self._looks, (self._now_s + LOOK_AFTER_S, place))
        self._considered = len(self.seen.hurting)
        while self._looks and self._looks[0][0] <= self._now_s:
            _, place = heapq.heappop(self._looks)
            self._say(self.seen.hurting[place])

    def _say(self, decision: Decision) -> None:
        truth = self.week.truth[decision.suspect.program.exe].truth
        peer = Peer(pid=1, uid=self._dice.choice(PEOPLE), gid=1000)
        said = FeedbackArguments(id=decision.id, good=is_right(decision, truth), label=truth)
        self.whole.oversight.feedback(decision, said, peer)


def is_right(decision: Decision, truth: Category) -> bool:
    """Whether to limit it, or to leave it alone, was right."""
    limited = decision.kind is DecisionKind.LIMIT
    return limited is bool(Config().policy.of(truth).limits)
