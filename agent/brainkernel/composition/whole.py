"""The agent, put together: the order of the calls is the order in which the parts need each other."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel import alerts, host
from brainkernel.act.cgroupfs import read_cpu_stat
from brainkernel.act.enforcer import Permissions
from brainkernel.act.host import Host
from brainkernel.act.limiter import Limiter
from brainkernel.agent import Agent, Parts
from brainkernel.classify.question import question_of
from brainkernel.commands import AgentCommands
from brainkernel.composition.ground import Ground
from brainkernel.composition.senses import Senses
from brainkernel.composition.standards import Improving
from brainkernel.composition.tiers import Tiers
from brainkernel.control import ControlServer
from brainkernel.decide.approvals import Approvals
from brainkernel.decide.safety import protection_of
from brainkernel.deciding import Deciding
from brainkernel.enrich.standing import own_family
from brainkernel.errors import BrainKernelError, ConfigError
from brainkernel.floods import Floods
from brainkernel.gate.gate import Gate
from brainkernel.judging import Judging
from brainkernel.learn.experience import Experience
from brainkernel.learn.labels import Labels, read_labels
from brainkernel.learn.strategy import SETTINGS
from brainkernel.limits import Limits
from brainkernel.link.control import SOCKET_NAME
from brainkernel.link.reads import Reads
from brainkernel.measuring import Measuring
from brainkernel.memory import shape_of
from brainkernel.model import Category
from brainkernel.monitoring.gpus import Gpus
from brainkernel.monitoring.hostfigures import HostFigures
from brainkernel.oversight import Oversight
from brainkernel.pausing import PAUSE_FILE, Switch
from brainkernel.pipeline import Stages
from brainkernel.processes import Processes
from brainkernel.report import Archive, Everybody
from brainkernel.sense.cgroups import ids_within, read_mounts
from brainkernel.sense.programtimes import ProgramTimes
from brainkernel.sense.runqueue import median_and_p99_us
from brainkernel.showing import Showing, commands_of
from brainkernel.starts import Starts
from brainkernel.store import open_store
from brainkernel.store.browsing import Browser
from brainkernel.store.series import Series
from brainkernel.watch import Ports, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.composition.ground import Paths
    from brainkernel.config import Config
    from brainkernel.effective import Effective
    from brainkernel.learn.latency import Breach
    from brainkernel.model import Action, Decision, Judgement, Lesson, Outcome, ProcessKey, Suspect
    from brainkernel.observe.window import TaskUse
    from brainkernel.report import Report
    from brainkernel.sense.loader import Chosen

LOG = logging.getLogger(__name__)
NS_PER_DAY = 86_400 * 1_000_000_000


def compose(read_config: Callable[[], Config], paths: Paths, clock: Clock, report: Report, loader: Callable[[], Chosen]) -> Agent:
    """Make the whole agent, with what already runs known, and say what this host can do.

    `read_config` is asked now and at each reload, `loader` for the open loader once it is needed. Raises ConfigError, SenseError where no loader can see events, ActError or StoreError where another agent holds the state.
    """
    return Whole(read_config, Ground(read_config(), paths, clock, report), loader).agent()


class Whole:
    """Each method makes one part, so that a simulation can put a part of its own in the place of one that touches the host."""

    def __init__(self, read_config: Callable[[], Config], ground: Ground, loader: Callable[[], Chosen]) -> None:
        """Nothing is made before `agent`."""
        self.read_config, self.loader = read_config, loader
        self.ground = ground
        self.paths, self.clock, self.figures = ground.paths, ground.clock, ground.figures
        self.switch = Switch(ground.config.agent.mode, ground.paths.runtime_dir / PAUSE_FILE)
        self.experience = Experience()
        self.approvals = Approvals()

    def agent(self) -> Agent:
        """Make all parts. Raises what `compose` does."""
        self.facts = host.read_facts(self.paths.root)
        self.store = open_store(self.paths.state_dir, self.ground.config.store, self.clock, self.ground.notice)
        self.improving = Improving(self.ground, self.store, self.read_config, self._put_to_work)
        self.arms = self.improving.arms
        self.strategy = self.arms.current.strategy
        self.judging = self._judging()
        self.oversight = self._oversight()
        self.report = Everybody((Archive(self.store.decisions, self.clock), self.judging, self.ground.outside))
        self.senses = self.make_senses()
        self.tiers = self.make_tiers()
        self.limiter = self.make_limiter()
        self._learn_what_was()
        self._add_alerting()
        self.measuring = self._measuring()
        agent = self._assembled()
        self.tiers.asker.reads = Reads(self._showing(agent).answer_to, self.clock)
        commands = AgentCommands(agent, self.store.decisions, self.oversight, {**commands_of(self.measuring), **self.improving.commands()})
        agent.control = ControlServer(self.paths.runtime_dir / SOCKET_NAME, commands, self.clock, self.figures)
        self.ground.outside.notice(f"loader {self.senses.chosen.loader.name}: {self.senses.chosen.why}")
        return agent

    def _judging(self) -> Judging:
        judging = Judging(
            config=self.ground.config,
            clock=self.clock,
            figures=self.figures,
            keep=self._judged,
            log=self.store.audit.add,
            tell=self.ground.outside.notice,
            breached=self._breached,
            earlier=self.store.judgements.all(),
        )
        judging.strategist.table = SETTINGS | self.strategy.settings
        judging.labels = self._labels(self.ground.config, Labels())
        for result in self.store.exams.all()[-1:]:
            judging.examined(result)
        return judging

    # A labels file that cannot be read leaves the labels of before, and costs nothing else.
    def _labels(self, config: Config, before: Labels) -> Labels:
        try:
            return read_labels(Path(config.quality.labels_file) if config.quality.labels_file else None)
        except ConfigError as error:
            self.ground.notice(f"the labels are not read: {error}")
            return before

    def _measuring(self) -> Measuring:
        return Measuring(
            figures=self.figures,
            host=HostFigures(
                self.paths.proc,
                self.paths.state_dir,
                self.figures,
                others=(Gpus(self.paths.sys, self.figures), ProgramTimes(self.paths.proc, self.figures)),
            ),
            claims=lambda: self.tiers.asker.claims,
            series=Series(self.paths.state_dir, self.clock, self.ground.notice),
            clock=self.clock,
            tell=self.report.anomaly,
        )

    def _showing(self, agent: Agent) -> Showing:
        return Showing(
            status=agent.status,
            measuring=self.measuring,
            decisions=self.store.decisions,
            browser=Browser(self.store.database, self.store.decisions),
            audit=self.store.audit,
        )

    def _judged(self, decision: Decision, judgement: Judgement) -> None:
        self.improving.judged(decision, judgement)
        self.tiers.judged(decision, judgement)

    def _oversight(self) -> Oversight:
        return Oversight(
            decisions=self.store.decisions,
            log=self.store.audit,
            approvals=self.approvals,
            judging=self.judging,
            clock=self.clock,
            learn=self._learn,
            reconsider=self._reconsider,
            forced=self.improving.versioning.strategy_forced,
        )

    def make_senses(self) -> Senses:
        """What sees the host's processes."""
        return Senses(self.ground, self.store, self.loader())

    def make_tiers(self) -> Tiers:
        """What says what a program is."""
        return Tiers(self.ground, self.store, self.arms, self.improving.learner.told)

    def make_limiter(self) -> Limiter:
        """What writes limits."""
        root = self.paths.root
        places = Host(proc=self.paths.proc, cgroup=root / "sys/fs/cgroup", sys=root / "sys", run=root / "run")
        permissions = Permissions(
            protection=lambda exe, unit: protection_of(exe, unit, self.ground.config.safety),
            containers=lambda: self.ground.config.safety.containers,
            presents=self.senses.presents,
        )
        return Limiter(self.paths.state_dir, permissions, self.clock, places)

    def _learn_what_was(self) -> None:
        self.store.decisions.begin_after(self.limiter.last_id)
        self.store.decisions.settle(self.limiter.left, self.clock.wall_ns())
        for wall_ns, lesson in self.store.lessons.since(self.clock.wall_ns() - NS_PER_DAY):
            self.experience.learn(lesson, wall_ns)
        self.senses.learn_what_runs()

    def _add_alerting(self) -> None:
        outward = alerts.Outward(
            asker=self.tiers.asker,
            asking=self.tiers.asking,
            judging=self.judging,
            say=self.ground.outside.notice,
            path_of=lambda suspect: question_of(suspect).exe,
            taking_back=self.improving.taking_back,
            log=self.store.audit.add,
        )
        self.alerting = alerts.make(self.paths.config_file, self.figures, self.clock, outward, lambda: self.built)
        earlier = self.store.decisions.page(500)
        table = self.senses.table
        self.processes = Processes(lambda key: known.exe if (known := table.get(key)) else "", earlier)
        self.report = Everybody((self.report, self.alerting, self.processes, self.tiers.foreseeing))

    def _assembled(self) -> Agent:
        self.gate = Gate(self.ground.config.gate, self.senses.baseline)
        starts = self._starts(self._deciding())
        self.watch = self._watch(starts)
        self.limits = self._limits()
        agent = Agent(
            Parts(
                clock=self.clock,
                chosen=self.senses.chosen,
                starts=starts,
                watch=self.watch,
                healing=self.senses.healing(starts),
                asking=self.tiers.asking,
                asker=self.tiers.asker,
                limiter=self.limiter,
                limits=self.limits,
                pressure=self.senses.pressure,
                store=self.store,
                judging=self.judging,
                oversight=self.oversight,
                figures=self.figures,
                switch=self.switch,
                alerting=self.alerting,
                processes=self.processes,
                measuring=self.measuring,
                foreseeing=self.tiers.foreseeing,
                report=self.report,
                reload=self._reload,
                improve=self.improving.tick,
                flush=self.senses.memory.flush,
                close=self.senses.close,
                kernel=self.facts.kernel,
                notices=self.ground.notices,
            )
        )
        self.built = agent
        return agent

    def _starts(self, deciding: Deciding) -> Starts:
        return Starts(
            stages=Stages(
                clock=self.clock,
                gate=lambda event: None if self.senses.own.has(event) else self.gate.consider(event, shape_of(event)),
                enrich=self.senses.enrich,
                tiers=self.tiers.in_order(),
                ask=self.tiers.asking.ask,
                decide=self.improving.decide(deciding.decide),
                act=self.limiter.apply,
            ),
            lineage=self.senses.table,
            figures=self.figures,
            report=self.report,
            floods=Floods(notice=self.report.notice, path_of=lambda id_: self.senses.cgroup_paths.of(id_, 0), clock=self.clock),
            remember=self.senses.memory.met,
            waiting=self.tiers.asking.collect,
            answered=self._answered,
        )

    def _deciding(self) -> Deciding:
        return Deciding(
            standards=self.arms.standards_of,
            clock=self.clock,
            switch=self.switch,
            experience=self.experience,
            approvals=self.approvals,
            strategy=lambda: self.judging.strategist.settings,
            table=self.senses.table,
            standing_of=self.senses.standing,
            own=own_family(self.paths.proc),
            next_id=self.store.decisions.next_id,
            lease_ns_for=self._lease_ns_for,
            limits_standing=lambda: len(self.watch.actions) + self.watch.limits_pending,
            was_limited=self.store.decisions.was_limited,
        )

    def _watch(self, starts: Starts) -> Watch:
        senses = self.senses
        ports = Ports(
            snapshot=senses.snapshot,
            pressed=senses.pressure.pressed,
            exe_of=senses.exe_of,
            suspect_of=senses.running_suspect,
            builds=self._builds,
            decide=starts.judge_and_decide,
            notice=starts.notice,
            run_queue_us=median_and_p99_us,
            check_interval_s=lambda: self.judging.strategist.settings.check_interval_s,
            policy_of=lambda suspect: self.arms.standards_of(suspect.identity).config.policy,
            limits=self.limiter,
            cgroups_within=partial(ids_within, read_mounts(self.paths.proc)),
            throttled_us=self._throttled_us,
            report_outcome=self._measured,
            learn=self._learn,
        )
        return Watch(
            config=self.ground.config,
            clock=self.clock,
            baseline=senses.baseline,
            experience=self.experience,
            figures=self.figures,
            ports=ports,
        )

    def _builds(self, use: TaskUse) -> bool:
        suspect = self.senses.running_suspect(use)
        verdict = self.arms.judge_by_rules(self.senses.enrich(suspect, None)) if suspect else None
        return verdict is not None and verdict.category is Category.DEVELOPMENT

    def _limits(self) -> Limits:
        return Limits(
            limiter=self.limiter,
            watch=self.watch,
            enforces=lambda: self.switch.enforces,
            loader=self.senses.chosen.loader,
            store=self.store,
            experience=self.experience,
            judging=self.judging,
            figures=self.figures,
            report=self.report,
            clock=self.clock,
        )

    def _throttled_us(self, action: Action) -> int | None:
        if not action.owns_cgroup or action.limit.cpu_quota_pct is None:
            return None
        return read_cpu_stat(self.paths.root / "sys/fs/cgroup", action.cgroup).get("throttled_usec")

    # The watch and the decisions need each other, as do the watch and the agent: bound late.
    def _lease_ns_for(self, suspect: Suspect) -> int:
        return self.watch.lease_ns_for(suspect)

    def _reconsider(self, key: ProcessKey) -> None:
        self.watch.reconsider(key)

    def _answered(self, suspect: Suspect) -> None:
        self.watch.reconsider(suspect.key)

    def _breached(self, breach: Breach) -> None:
        self.report.breach(breach)

    def _learn(self, lesson: Lesson) -> None:
        self.limits.learn(lesson)

    def _measured(self, decision: Decision, outcome: Outcome) -> None:
        self.limits.measured(decision, outcome)

    def _reload(self) -> None:
        before = self.ground.config
        try:
            source = self.improving.versioning.read()
            self.alerting.reload()
        except BrainKernelError as error:
            self.ground.notice(f"the old configuration stays in force: {error}")
            return
        if needs_restart := _fixed_at_start(before, source.config):
            self.ground.notice(f"read again; takes effect at the next `systemctl restart brainkernel`: {', '.join(needs_restart)}")
        self.improving.versioning.follow(source)
        LOG.info("configuration and rules read again")

    def _put_to_work(self, effective: Effective) -> None:
        config = effective.standards.config
        self.ground.config = self.watch.config = config
        self.built.set_mode(config.agent.mode)
        self.tiers.configure(config)
        self.gate.config = config.gate
        self.judging.configure(config)
        self.judging.labels = self._labels(config, self.judging.labels)
        self.judging.strategist.table = SETTINGS | effective.strategy.settings
        self.oversight.follow(self.strategy, effective.strategy)
        self.strategy = effective.strategy


def _fixed_at_start(old: Config, new: Config) -> list[str]:
    names = [
        f"agent.{name}" for name in ("loader", "all_events", "sample_interval_s") if getattr(old.agent, name) != getattr(new.agent, name)
    ]
    return [*names, "store"] if old.store != new.store else names
