"""A host of two processes under the real deciding, watching and judging stages, over a simulated clock: people and rules at work."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from brainkernel import config as configuration
from brainkernel import metrics
from brainkernel.config import CategoryPolicy, Config, Policy
from brainkernel.decide.approvals import Approvals
from brainkernel.deciding import Deciding
from brainkernel.effective import Standards
from brainkernel.enrich.standing import read_standing
from brainkernel.enrich.table import ProcessTable
from brainkernel.gate.baseline import Baseline
from brainkernel.judging import Judging
from brainkernel.learn.experience import Experience
from brainkernel.link import people
from brainkernel.link.frames import Peer
from brainkernel.metrics import Figures
from brainkernel.model import Category, Decision, DecisionKind, Limit, Suspect, Symptom
from brainkernel.observe.window import Snapshot
from brainkernel.oversight import Oversight
from brainkernel.pausing import Switch
from brainkernel.watch import Ports, Watch
from support.nouns import SECOND_NS, a_suspect, a_task, a_verdict
from support.stores import Opened, an_action, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOG, VICTIM, START_S = 100, 200, 1000
ROOT_PEER = Peer(pid=77, uid=0, gid=0)


@dataclass
class Host:
    """What a sample of the host shows, and what the agent made of it."""

    store: Opened
    watch: Watch = field(init=False)
    judging: Judging = field(init=False)
    oversight: Oversight = field(init=False)
    deciding: Deciding = field(init=False)
    confidence: float = 0.9
    seconds: int = 0
    hurting_s: int = 0
    decided: list[Decision] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        tasks = (
            a_task(HOG, "hog", cpu_s=self.hurting_s, cgroup_id=7),
            a_task(VICTIM, "mysqld", wait_s=0.5 * self.hurting_s, cgroup_id=8),
        )
        pressure_us = 600_000 * self.hurting_s
        return Snapshot(time_ns=self.store.clock.boot_ns(), tasks={t.key: t for t in tasks}, pressure_total_us=pressure_us, run_queue=None)

    def decide(self, suspect: Suspect, symptom: Symptom) -> Decision:
        decision = self.deciding.decide(suspect, a_verdict(Category.BACKGROUND, self.confidence), symptom)
        self.decided.append(decision)
        self.store.store.decisions.save(decision)
        return decision

    def renew(self, action_id: int, expires_ns: int) -> None:
        msg = f"no limit of these tests is renewed: {action_id} until {expires_ns}"
        raise AssertionError(msg)

    def release(self, action_id: int, why: str) -> None:
        msg = f"no limit of these tests is given up: {action_id}, {why}"
        raise AssertionError(msg)

    def step(self, action_id: int, limit: Limit, expires_ns: int) -> None:
        msg = f"no limit stands that could step: {action_id}, {limit}, {expires_ns}"
        raise AssertionError(msg)

    def pass_seconds(self, seconds: int, *, hurting: bool = True) -> None:
        for _ in range(seconds):
            self.seconds += 1
            self.hurting_s += hurting
            self.store.clock.advance_to((START_S + self.seconds) * SECOND_NS)
            self.watch.tick()
            self.oversight.tick()
            self.judging.tick(0)


def make_proc(proc: Path) -> None:
    """What is read of a process before it is limited."""
    for tgid in (1, HOG):
        (proc / str(tgid)).mkdir(parents=True, exist_ok=True)
        # proc_pid_stat(5): state, ppid, pgrp, session, tty, tpgid, flags, ..., nice (19th), ..., start time, ..., policy (41st)
        fields = ["S", "1", str(tgid), str(tgid), "0", "-1", "4194304", *["0"] * 12, str(tgid * 100), *["0"] * 30]
        (proc / str(tgid) / "stat").write_text(f"{tgid} (hog) {' '.join(fields)}\n")
        (proc / str(tgid) / "status").write_text("Cpus_allowed:\t3\n")


def unexpected(suspect: Suspect) -> None:
    msg = f"{suspect.program.exe} is as usual: nothing to notice"
    raise AssertionError(msg)


def ports_of(host: Host) -> Ports:
    return Ports(
        snapshot=host.snapshot,
        pressed=lambda: True,
        exe_of=lambda key: "/opt/batch/hog" if key.tgid == HOG else "/usr/sbin/mysqld",
        suspect_of=lambda use: a_suspect("/opt/batch/hog", key=use.key),
        builds=lambda _use: False,
        decide=host.decide,
        notice=unexpected,
        run_queue_us=lambda _counts: None,
        check_interval_s=lambda: host.judging.strategist.settings.check_interval_s,
        policy_of=lambda _suspect: host.watch.config.policy,
        limits=host,
        cgroups_within=lambda _path: (),
        throttled_us=lambda _action: None,
        report_outcome=lambda _decision, _outcome: None,
        learn=lambda _lesson: None,
    )


def connect(host: Host, config: Config, proc: Path) -> None:
    """Put the stages around the host, as `composition` does."""
    store, clock, experience, approvals, figures = host.store.store, host.store.clock, Experience(), Approvals(), Figures()
    host.judging = Judging(
        config=config,
        clock=clock,
        figures=figures,
        keep=lambda _decision, judgement: store.judgements.save(judgement),
        log=store.audit.add,
        tell=host.told.append,
        breached=lambda breach: host.told.append(breach.text),
        earlier=store.judgements.all(),
    )
    host.watch = Watch(config=config, clock=clock, baseline=Baseline(), experience=experience, figures=figures, ports=ports_of(host))
    host.oversight = Oversight(
        decisions=store.decisions,
        log=store.audit,
        approvals=approvals,
        judging=host.judging,
        clock=clock,
        learn=lambda _lesson: None,
        reconsider=host.watch.reconsider,
        forced=lambda _strategy, _by: None,
    )
    host.deciding = Deciding(
        standards=lambda _identity: Standards(config=config),
        clock=clock,
        switch=Switch("enforce"),
        experience=experience,
        approvals=approvals,
        strategy=lambda: host.judging.strategist.settings,
        table=ProcessTable(),
        standing_of=lambda key: read_standing(proc, key),
        own=frozenset(),
        next_id=store.decisions.next_id,
        lease_ns_for=lambda _suspect: 60 * SECOND_NS,
        limits_standing=lambda: 0,
        was_limited=store.decisions.was_limited,
    )


@contextmanager
def a_host(directory: Path, config: Config) -> Iterator[Host]:
    """The stages around a store in `directory`."""
    make_proc(directory / "proc")
    with opened(directory / "state", at_ns=START_S * SECOND_NS) as store:
        host = Host(store)
        connect(host, config, directory / "proc")
        yield host


def asking() -> Config:
    return Config(policy=Policy(background=CategoryPolicy(limits=("cpu_weight=20",), approval=True)))


def test_a_hog_is_limited_within_three_seconds_under_the_default_configuration(tmp_path: Path) -> None:
    """Strategies and approvals cost the ordinary case nothing."""
    with a_host(tmp_path, Config()) as host:
        host.pass_seconds(3)

        assert [(d.kind, d.acts) for d in host.decided] == [(DecisionKind.LIMIT, True)]


def test_a_limit_waits_for_a_person_and_comes_at_the_next_sample_after_the_yes(tmp_path: Path) -> None:
    """Asked once; the yes is acted on while it still hurts, and who said it is on record."""
    with a_host(tmp_path, asking()) as host:
        host.pass_seconds(60)
        waiting = host.oversight.pending().waiting
        acted_before = any(d.acts for d in host.decided)
        host.oversight.answer(people.AnswerArguments(waiting[0].id), ROOT_PEER, allowed=True)
        host.pass_seconds(1)

        assert len(waiting) == 1
        assert not acted_before
        assert [d.kind for d in host.decided].count(DecisionKind.PENDING) == 1
        assert (host.decided[-1].kind, host.decided[-1].acts) == (DecisionKind.LIMIT, True)
        assert [(e.deed, e.uid, e.decision_id) for e in host.oversight.audit(9).entries] == [("approve", 0, waiting[0].id)]


def test_a_yes_to_what_hurts_no_more_does_nothing(tmp_path: Path) -> None:
    """An approval is no symptom."""
    with a_host(tmp_path, asking()) as host:
        host.pass_seconds(5)
        host.pass_seconds(30, hurting=False)
        host.oversight.answer(people.AnswerArguments(host.oversight.pending().waiting[0].id), ROOT_PEER, allowed=True)
        host.pass_seconds(30, hurting=False)

        assert not any(d.acts for d in host.decided)


def test_silence_is_a_no_that_is_on_record(tmp_path: Path) -> None:
    """After ten minutes without a word nothing is limited, and for an hour nobody is asked again."""
    with a_host(tmp_path, asking()) as host:
        host.pass_seconds(900)

        assert not any(d.acts for d in host.decided)
        assert host.oversight.pending().waiting == ()
        assert [(e.deed, e.uid) for e in host.oversight.audit(9).entries if e.deed != "strategy"] == [("timed_out", None)]


def test_always_outlives_a_restart(tmp_path: Path) -> None:
    """Denied for ever, the program is refused by the next agent too."""
    with a_host(tmp_path, asking()) as host:
        host.pass_seconds(5)
        waiting = host.oversight.pending().waiting
        host.oversight.answer(people.AnswerArguments(waiting[0].id, always=True), ROOT_PEER, allowed=False)

    with a_host(tmp_path, asking()) as host:
        host.pass_seconds(5)

        assert [d.refusals[0].rule for d in host.decided] == ["denied"]


def test_a_no_for_a_day_outlives_a_restart(tmp_path: Path) -> None:
    """And ends after that day."""
    with a_host(tmp_path, asking()) as host:
        host.pass_seconds(5)
        host.oversight.answer(people.AnswerArguments(host.oversight.pending().waiting[0].id), ROOT_PEER, allowed=False)

    with a_host(tmp_path, Config()) as host:
        host.pass_seconds(5)
        on_the_same_day = {d.kind for d in host.decided}
        host.store.clock.advance_to(host.store.clock.boot_ns() + 25 * 3600 * SECOND_NS)
        host.seconds += 25 * 3600
        host.pass_seconds(5)

        assert on_the_same_day == {DecisionKind.REFUSED}
        assert host.decided[-1].kind is DecisionKind.LIMIT


def test_the_first_limit_of_a_program_waits_and_the_next_does_not(tmp_path: Path) -> None:
    """With `approvals.first_time`: asked about once, and known as limited over a restart."""
    config = Config(approvals=configuration.Approvals(first_time=True))
    with a_host(tmp_path, config) as host:
        host.pass_seconds(5)
        waiting = host.oversight.pending().waiting
        host.store.store.decisions.attach_action(an_action(waiting[0].id))

    with a_host(tmp_path, config) as host:
        host.pass_seconds(5)

        assert "it would be the first limit of this program" in waiting[0].reason
        assert [d.kind for d in host.decided] == [DecisionKind.LIMIT]


def test_strategy_follows_the_host_and_the_log_has_the_figures(tmp_path: Path) -> None:
    """An hour of a host that people are not content with, and an hour of peace: conservative, then balanced, and nothing else."""
    with a_host(tmp_path, Config()) as host:
        decision = Decision(
            id=1, time_ns=0, suspect=a_suspect(), verdict=a_verdict(), kind=DecisionKind.LIMIT, reason="hurts",
        )  # fmt: skip
        host.pass_seconds(600, hurting=False)
        for _ in range(10):
            host.judging.undone(decision)
        host.pass_seconds(1800, hurting=False)
        during = host.judging.strategist.strategy
        host.store.clock.advance_to(host.store.clock.boot_ns() + 25 * 3600 * SECOND_NS)
        host.judging.tick(0)
        changes = [entry.text for entry in host.oversight.audit(9).entries if entry.deed == "strategy"]

        assert during == "conservative"
        assert changes[::-1][0] == "balanced -> conservative: stability 0.70 < 0.80"
        assert changes[::-1][1].startswith("conservative -> balanced: no rule holds")
        assert len(changes) == 2


def test_a_strategy_asks_for_more_than_the_policy_and_never_for_less(tmp_path: Path) -> None:
    """The stricter of both thresholds counts."""
    lax = Config(policy=Policy(background=CategoryPolicy(limits=("idle",), min_confidence=0.1)))
    kinds = {}
    for name in ("aggressive", "balanced", "conservative"):
        with a_host(tmp_path / name, lax) as host:
            host.oversight.set_strategy(people.StrategyArguments(name), ROOT_PEER)
            host.confidence = 0.6
            host.pass_seconds(3)
            kinds[name] = host.decided[0].kind
    with a_host(tmp_path / "strict", Config()) as host:
        host.oversight.set_strategy(people.StrategyArguments("aggressive"), ROOT_PEER)
        host.confidence = 0.6
        host.pass_seconds(3)

        assert kinds == {"aggressive": DecisionKind.LIMIT, "balanced": DecisionKind.LIMIT, "conservative": DecisionKind.REFUSED}
        assert host.decided[0].kind is DecisionKind.REFUSED


@pytest.mark.parametrize(("name", "decisions"), [("aggressive", 6), ("balanced", 3), ("conservative", 1)])
def test_what_was_not_limited_is_judged_again_after_the_strategys_time(tmp_path: Path, name: str, decisions: int) -> None:
    """5, 10 and 30 s, seen over 29 s of harm that is refused."""
    with a_host(tmp_path, Config()) as host:
        host.oversight.set_strategy(people.StrategyArguments(name), ROOT_PEER)  # type: ignore[arg-type]
        host.confidence = 0.1
        host.pass_seconds(31)

        assert len(host.decided) == decisions


def test_forced_strategy_outlives_a_restart_and_ends_in_time(tmp_path: Path) -> None:
    """Two hours are two hours, whoever restarts the service meanwhile."""
    with a_host(tmp_path, Config()) as host:
        host.oversight.set_strategy(people.StrategyArguments("conservative", 7200.0), ROOT_PEER)

    with a_host(tmp_path, Config()) as host:
        forced = host.judging.strategist.strategy
        host.store.clock.advance_to((START_S + 7201) * SECOND_NS)
        host.judging.tick(0)

        assert forced == "conservative"
        assert host.judging.strategist.strategy == "balanced"


def test_every_metric_of_judging_is_published(tmp_path: Path) -> None:
    """Stability and strategy are there from the first tick."""
    with a_host(tmp_path, Config()) as host:
        host.pass_seconds(1)

        figures = host.judging._figures
        assert figures.value(metrics.STABILITY) > 0.9
        assert figures.value(metrics.STRATEGY, "balanced") == 1
