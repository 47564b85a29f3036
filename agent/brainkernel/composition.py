"""The composition root: every part is made here, once, and given what it needs. Nothing here decides anything."""

from __future__ import annotations

import logging
import os
import pwd
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from brainkernel import alerts, host, metrics
from brainkernel.act.limiter import Limiter
from brainkernel.act.procfs import Host
from brainkernel.agent import Agent, Parts, Switch
from brainkernel.asking import Asking
from brainkernel.classify import ruleset
from brainkernel.classify.model import LocalModel, ModelTier
from brainkernel.classify.question import question_of
from brainkernel.classify.tiers import CacheTier, RulesTier
from brainkernel.commands import AgentCommands
from brainkernel.control import ControlServer
from brainkernel.decide.approvals import Approvals
from brainkernel.decide.safety import protection_of
from brainkernel.deciding import Deciding
from brainkernel.enrich.enricher import Enricher
from brainkernel.enrich.lineage import parents_of, read_into_table
from brainkernel.enrich.procfs import ProcFs
from brainkernel.enrich.standing import own_family
from brainkernel.enrich.table import ProcessTable
from brainkernel.errors import BrainKernelError
from brainkernel.gate.baseline import Baseline
from brainkernel.gate.gate import Gate, suspect_of
from brainkernel.healing import Healing
from brainkernel.judging import Judging
from brainkernel.learn.experience import Experience
from brainkernel.link.asker import Asker
from brainkernel.link.control import SOCKET_NAME
from brainkernel.link.messages import GATEWAY_SOCKET
from brainkernel.memory import Memory, shape_of
from brainkernel.observe.window import Snapshot
from brainkernel.oversight import Oversight
from brainkernel.pipeline import Stages
from brainkernel.processes import Processes
from brainkernel.report import Archive, Everybody
from brainkernel.sense.loader import choose
from brainkernel.sense.loaders import live_loaders
from brainkernel.sense.pressure import Pressure, PressureTrigger, read_cpu_some_us
from brainkernel.sense.runqueue import median_and_p99_us
from brainkernel.sense.snapshot import read_process, read_running
from brainkernel.starts import Starts
from brainkernel.store import open_store
from brainkernel.watch import Ports, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.config import Config
    from brainkernel.link.frames import Peer
    from brainkernel.model import Decision, Exec, Lesson, Outcome, ProcessKey, Suspect
    from brainkernel.observe.window import TaskUse
    from brainkernel.report import Report
    from brainkernel.sense.loader import Chosen

LOG = logging.getLogger(__name__)
NS_PER_DAY = 86_400 * 1_000_000_000
DAY_S = 86_400.0
GATEWAY_USER = "brainkernel-gateway"  # systemd's DynamicUser=, known to nss-systemd while it runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Every place outside the process that the agent touches."""

    state_dir: Path
    runtime_dir: Path
    config_file: Path | None = None
    root: Path = Path("/")

    @property
    def proc(self) -> Path:
        """The proc file system."""
        return self.root / "proc"


def compose(read_config: Callable[[], Config], paths: Paths, clock: Clock, report: Report) -> Agent:
    """Make the whole agent, with the loader open and what already runs known, and say what this host can do.

    `read_config` is asked now and at each reload. Raises ConfigError, SenseError where no loader can see events, ActError or StoreError where another agent holds the state.
    """
    return _Composition(read_config, paths, clock, report).agent()


class _Composition:
    # Each method makes one group of parts; the order of the calls in `agent` is the order in which they need each other.
    def __init__(self, read_config: Callable[[], Config], paths: Paths, clock: Clock, report: Report) -> None:
        self.read_config, self.paths, self.clock, self.outside = read_config, paths, clock, report
        self.config = config = read_config()
        self.figures = metrics.Figures()
        self.switch = Switch(config.agent.mode)
        self.baseline = Baseline()
        self.experience = Experience()
        self.approvals = Approvals()
        self.table = ProcessTable()
        self.proc = ProcFs(paths.proc)
        self.notices: list[str] = []

    def agent(self) -> Agent:
        self.facts = host.read_facts(self.paths.root)
        self.store = open_store(self.paths.state_dir, self.config.store, self.clock, self._notice)
        self.judging = self._judging()
        self.oversight = Oversight(
            decisions=self.store.decisions,
            log=self.store.audit,
            approvals=self.approvals,
            judging=self.judging,
            clock=self.clock,
            learn=self._learn,
            reconsider=self._reconsider,
        )
        self.report = Everybody((Archive(self.store.decisions, self.clock), self.judging, self.outside))
        self.loader = self._loader()
        self.memory = Memory(self.baseline, self.loader.loader, self.store.baselines, self.clock)
        self.enricher = Enricher.of_host(self.paths.state_dir, self.clock, proc_root=self.paths.proc, fs_root=self.paths.root)
        self.rules = RulesTier(ruleset.load())
        self.cache = CacheTier(self.store.verdicts, lambda verdict: self.asking.may_act(verdict.model))
        self.model = ModelTier(LocalModel(), self.rules.ruleset.knowledge)
        self.asker, self.asking = self._asking()
        self.limiter = self._limiter()
        self.pressure = Pressure(PressureTrigger.open(self.paths.proc / "pressure/cpu"), self.clock)
        self._learn_what_was()
        self._add_alerting()
        agent = self._assembled()
        commands = AgentCommands(agent, self.store.decisions, self.oversight)
        agent.control = ControlServer(self.paths.runtime_dir / SOCKET_NAME, commands, self.clock, self.figures)
        self.outside.notice(f"loader {self.loader.loader.name}: {self.loader.why}")
        return agent

    def _judging(self) -> Judging:
        kept = self.store.judgements
        return Judging(
            config=self.config,
            clock=self.clock,
            figures=self.figures,
            keep=kept.save,
            log=self.store.audit.add,
            tell=self.outside.notice,
            earlier=kept.all(),
        )

    def _loader(self) -> Chosen:
        loaders = live_loaders(clock=self.clock, all_events=self.config.agent.all_events, proc=self.paths.proc)
        chosen = choose(self.config.agent.loader, loaders)
        self.figures.set(metrics.LOADER, 1, chosen.loader.name)
        for text in chosen.refused:
            LOG.warning("loader refused: %s", text)
            self.figures.set(metrics.LOADER_REFUSED, 1, text.partition(":")[0])
        for text in (*chosen.refused, *chosen.loader.limits):
            self._notice(text)
        return chosen

    def _asking(self) -> tuple[Asker, Asking]:
        asker = Asker(
            self.paths.runtime_dir / GATEWAY_SOCKET,
            allows=self._is_gateway,
            figures=self.figures,
            snapshot=self.figures.snapshot,
            clock=self.clock,
        )
        return asker, Asking(
            asker=asker,
            clock=self.clock,
            config=self.config.llm,
            exams=self.store.exams,
            remember=lambda suspect, verdict: self.cache.keep(suspect, verdict, self.config.llm.cache_days * DAY_S),
        )

    def _is_gateway(self, peer: Peer) -> bool:
        # The service's own user, known only while it runs; root, who may do anything; or the child of this process,
        # since other daemons run as nobody too.
        if peer.uid in {0, *_uid_of(GATEWAY_USER)}:
            return True
        stat = self.proc.read_stat(peer.pid)
        return stat is not None and stat.ppid == os.getpid()

    def _limiter(self) -> Limiter:
        safety = self.config.safety
        places = Host(
            proc=self.paths.proc, cgroup=self.paths.root / "sys/fs/cgroup", sys=self.paths.root / "sys", run=self.paths.root / "run"
        )
        return Limiter(self.paths.state_dir, lambda exe, unit: protection_of(exe, unit, safety), self.clock, places)

    def _learn_what_was(self) -> None:
        # Earlier runs first, then what runs now: a program that was there before us is known, not new.
        self.store.decisions.begin_after(self.limiter.last_id)
        for wall_ns, lesson in self.store.lessons.since(self.clock.wall_ns() - NS_PER_DAY):
            self.experience.learn(lesson, wall_ns)
        self.memory.preload()
        for event in read_running(self.paths.proc):
            self.table.on_exec(event)
            self.memory.running(event)
        self.enricher.prepare()

    def _add_alerting(self) -> None:
        outward = alerts.Outward(self.asker, self.asking, self.judging, self.outside.notice, lambda suspect: question_of(suspect).exe)
        self.alerting = alerts.make(self.paths.config_file, self.figures, self.clock, outward, lambda: self.built)
        earlier = self.store.decisions.page(500)
        self.processes = Processes(lambda key: known.exe if (known := self.table.get(key)) else "", earlier)
        self.report = Everybody((self.report, self.alerting, self.processes))

    def _assembled(self) -> Agent:
        gate = Gate(self.config.gate, self.baseline)
        deciding = self._deciding()
        starts = self._starts(gate, deciding)
        self.watch = self._watch(starts)
        agent = Agent(
            Parts(
                clock=self.clock,
                chosen=self.loader,
                starts=starts,
                watch=self.watch,
                healing=self._healing(starts),
                asking=self.asking,
                asker=self.asker,
                limiter=self.limiter,
                pressure=self.pressure,
                store=self.store,
                experience=self.experience,
                judging=self.judging,
                oversight=self.oversight,
                figures=self.figures,
                switch=self.switch,
                alerting=self.alerting,
                processes=self.processes,
                report=self.report,
                reload=lambda: self._reload(gate, deciding),
                flush=self.memory.flush,
                close=self._close,
                kernel=self.facts.kernel,
                notices=self.notices,
            )
        )
        self.built = agent
        return agent

    def _healing(self, starts: Starts) -> Healing:
        return Healing(
            loader=self.loader.loader,
            table=self.table,
            clock=self.clock,
            figures=self.figures,
            read=lambda key: read_process(self.paths.proc, key),
            handle=starts.on_event,
        )

    def _starts(self, gate: Gate, deciding: Deciding) -> Starts:
        return Starts(
            stages=self._stages(gate, deciding),
            lineage=self.table,
            figures=self.figures,
            report=self.report,
            remember=self.memory.met,
            waiting=self.asking.collect,
            answered=self._answered,
        )

    def _stages(self, gate: Gate, deciding: Deciding) -> Stages:
        return Stages(
            clock=self.clock,
            gate=lambda event: gate.consider(event, shape_of(event)),
            enrich=self._enrich,
            tiers=(("rules", self.rules.judge), ("cache", self.cache.judge), ("model", self.model.judge)),
            ask=self.asking.ask,
            decide=deciding.decide,
            act=self.limiter.apply,
        )

    def _deciding(self) -> Deciding:
        return Deciding(
            config=self.config,
            clock=self.clock,
            switch=self.switch,
            experience=self.experience,
            approvals=self.approvals,
            strategy=lambda: self.judging.strategist.settings,
            table=self.table,
            proc_root=self.paths.proc,
            own=own_family(self.paths.proc),
            next_id=self.store.decisions.next_id,
            lease_ns_for=self._lease_ns_for,
            limits_standing=lambda: len(self.watch.actions) + self.watch.limits_pending,
        )

    def _watch(self, starts: Starts) -> Watch:
        ports = Ports(
            snapshot=self._snapshot,
            pressed=self.pressure.pressed,
            exe_of=self._exe_of,
            suspect_of=self._running_suspect,
            decide=starts.judge_and_decide,
            run_queue_us=median_and_p99_us,
            check_interval_s=lambda: self.judging.strategist.settings.check_interval_s,
            limits=self.limiter,
            report_outcome=self._measured,
            learn=self._learn,
        )
        return Watch(
            config=self.config, clock=self.clock, baseline=self.baseline, experience=self.experience, figures=self.figures, ports=ports
        )

    # The watch and the decisions need each other, as do the watch and the agent: bound late.
    def _lease_ns_for(self, suspect: Suspect) -> int:
        return self.watch.lease_ns_for(suspect)

    def _reconsider(self, key: ProcessKey) -> None:
        self.watch.reconsider(key)

    def _answered(self, suspect: Suspect) -> None:
        self.watch.reconsider(suspect.key)

    def _learn(self, lesson: Lesson) -> None:
        self.built.learn(lesson)

    def _measured(self, decision: Decision, outcome: Outcome) -> None:
        self.built.measured(decision, outcome)

    def _enrich(self, suspect: Suspect, started: Exec | None) -> Suspect:
        if started is not None:
            suspect = replace(suspect, program=replace(suspect.program, parents=parents_of(started, self.table, self.proc)))
        return self.enricher.enrich(suspect, started)

    def _snapshot(self) -> Snapshot:
        tasks = self.loader.loader.tasks() or []
        if tasks:  # the kernel's gate does not tell of a known program's end
            self.table.keep_only(task.key for task in tasks)
        return Snapshot(
            time_ns=self.clock.boot_ns(),
            tasks={task.key: task for task in tasks},
            pressure_total_us=read_cpu_some_us(self.paths.proc),
            run_queue=self.loader.loader.run_queue(),
        )

    def _exe_of(self, key: ProcessKey) -> str:
        known = self.table.get(key)
        if known is None or not known.exe:
            read_into_table(key, self.table, self.proc)
            known = self.table.get(key)
        return known.exe if known else ""

    def _running_suspect(self, use: TaskUse) -> Suspect | None:
        event = read_process(self.paths.proc, use.key)
        if event is None:
            return None
        self.table.on_exec(event)
        suspect = suspect_of(event, ())
        return replace(suspect, program=replace(suspect.program, parents=parents_of(event, self.table, self.proc)))

    def _reload(self, gate: Gate, deciding: Deciding) -> None:
        try:
            config, rules = self.read_config(), ruleset.load()
            self.alerting.reload()
        except BrainKernelError as error:
            self._notice(f"the old configuration stays in force: {error}")
            return
        if needs_restart := _fixed_at_start(self.config, config):
            self._notice(f"read again; takes effect at the next `systemctl restart brainkernel`: {', '.join(needs_restart)}")
        self.config = deciding.config = self.watch.config = config
        self.built.set_mode(config.agent.mode)
        self.asking.config = config.llm
        gate.config = config.gate
        self.judging.configure(config)
        self.rules.ruleset = rules
        LOG.info("configuration and rules read again")

    def _notice(self, text: str) -> None:
        self.notices.append(text)
        self.outside.notice(text)

    def _close(self) -> None:
        self.enricher.close()
        self.loader.loader.close()


def _uid_of(user: str) -> set[int]:
    try:
        return {pwd.getpwnam(user).pw_uid}
    except KeyError:
        return set()


def _fixed_at_start(old: Config, new: Config) -> list[str]:
    names = [
        f"agent.{name}" for name in ("loader", "all_events", "sample_interval_s") if getattr(old.agent, name) != getattr(new.agent, name)
    ]
    return [*names, "store"] if old.store != new.store else names
