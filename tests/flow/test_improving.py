"""From people's words to a version that decides, and back when an alert fires: the parts as `composition` puts them together."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from brainkernel import metrics
from brainkernel.alertactions import AgentActions
from brainkernel.alerting.rules import ActionName, AlertRule, Severity
from brainkernel.composition.ground import Ground, Paths
from brainkernel.composition.standards import Improving
from brainkernel.config import Config
from brainkernel.decide.approvals import Approvals
from brainkernel.deciding import Deciding
from brainkernel.enrich.table import ProcessTable
from brainkernel.judging import Judging
from brainkernel.learn.experience import Experience, lesson_of
from brainkernel.learn.strategy import SETTINGS, Strategy
from brainkernel.model import Feedback
from brainkernel.pausing import Switch
from brainkernel.report import Report
from support.nouns import a_standing, a_suspect, a_symptom, a_verdict
from support.stores import Opened, opened
from support.versions import LEARNED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.effective import Effective
    from brainkernel.model import Decision, Suspect

DAY_NS = 86_400_000_000_000


class Listener(Report):
    """Somebody at the terminal."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notice(self, text: str) -> None:
        """Keep it."""
        self.told.append(text)


@dataclass
class Host:
    """An agent without senses and hands, over a real store and real versions."""

    store: Opened
    directory: Path
    listener: Listener = field(default_factory=Listener)
    changed: list[Effective] = field(default_factory=list)

    def __post_init__(self) -> None:
        store, clock = self.store.store, self.store.clock
        paths = Paths(state_dir=self.directory, runtime_dir=self.directory)
        self.ground = Ground(Config(), paths, clock, self.listener)
        self.improving = Improving(self.ground, store, Config, self.changed.append)
        self.judging = Judging(
            config=self.ground.config,
            clock=clock,
            figures=self.ground.figures,
            keep=self.improving.judged,
            log=store.audit.add,
            tell=self.listener.notice,
            breached=lambda _breach: None,
            earlier=store.judgements.all(),
        )
        deciding = Deciding(
            standards=self.improving.arms.standards_of,
            clock=clock,
            switch=Switch("enforce"),
            experience=Experience(),
            approvals=Approvals(),
            strategy=lambda: SETTINGS[Strategy.BALANCED],
            table=ProcessTable(),
            standing_of=lambda _key: a_standing(),
            own=frozenset(),
            next_id=store.decisions.next_id,
            lease_ns_for=lambda _suspect: 60_000_000_000,
            limits_standing=lambda: 0,
            was_limited=store.decisions.was_limited,
        )
        self.decide = self.improving.decide(deciding.decide)

    def decided(self, suspect: Suspect) -> Decision:
        """Decide about a program that hurts; not so often that the limit of limits per minute is reached."""
        clock = self.store.clock
        clock.advance_to(clock.boot_ns() + 10_000_000_000)
        return self.decide(suspect, a_verdict(), a_symptom())

    def objects(self, suspect: Suspect) -> bool:
        """Whether something that was learned speaks against a limit."""
        return "learned" in {refusal.rule for refusal in self.decided(suspect).refusals}

    def pass_days(self, days: float) -> None:
        """Some time goes by, in which the agent ticks now and then."""
        clock = self.store.clock
        clock.advance_to(clock.boot_ns() + int(days * DAY_NS))
        for _ in range(600):
            self.improving.tick()
            self.store.store.flush()


@contextmanager
def a_host(directory: Path) -> Iterator[Host]:
    with opened(directory / "state") as store:
        yield Host(store, directory / "state")


def renderer(number: int) -> Suspect:
    return a_suspect(f"/opt/studio/render-{number}", parents=("/opt/studio/dispatch",))


def indexer(number: int) -> Suspect:
    return a_suspect(f"/usr/lib/index/worker-{number}", parents=("/usr/sbin/cron",), uid=0)


def a_day_of_feedback(host: Host) -> None:
    """People call limits on renderers bad, and those on indexers good."""
    for number in range(30):
        for suspect, good in ((renderer(number % 5), False), (indexer(number), True)):
            host.judging.said(host.decided(suspect), Feedback(time_ns=host.store.clock.wall_ns(), good=good, uid=0))


def test_what_people_said_on_day_one_decides_on_day_three(tmp_path: Path) -> None:
    """When the memory of the single program has long faded; over a restart; and decisions say which version made them."""
    with a_host(tmp_path) as host:
        before = host.decided(renderer(9)).version
        a_day_of_feedback(host)
        host.pass_days(1)
    with a_host(tmp_path) as host:
        host.pass_days(1)
        found = [host.objects(renderer(number)) for number in range(10)]
        others = [host.objects(indexer(number)) for number in range(10)]
        after = host.decided(renderer(9)).version

    assert (before, after) == (1, 2)
    assert found == [True] * 10
    assert others == [False] * 10


def test_alert_takes_the_latest_change_back_and_leaves_it_so(tmp_path: Path) -> None:
    """Whichever alerts fire, how often ever: one version back; and it stays when they resolve."""
    with a_host(tmp_path) as host:
        host.improving.versioning.propose(LEARNED, "learned")
        said: list[str] = []
        deeds = {ActionName.ROLLBACK_TO_PREVIOUS_VERSION: host.improving.taking_back}
        actions = AgentActions(deeds, host.ground.figures, lambda text, _why: said.append(text))
        rules = [AlertRule(name=name, severity=Severity.CRITICAL, actions=()) for name in ("wrong", "more_wrong")]
        for rule in rules:
            actions.ask(ActionName.ROLLBACK_TO_PREVIOUS_VERSION, rule, host.store.clock.boot_ns(), "too many")
        for rule in rules:
            actions.withdraw(ActionName.ROLLBACK_TO_PREVIOUS_VERSION, rule.name, host.store.clock.boot_ns(), "too many")
        host.pass_days(0.1)
        actions.ask(ActionName.ROLLBACK_TO_PREVIOUS_VERSION, rules[0], host.store.clock.boot_ns(), "too many")

        assert said[0] == "alert wrong: rollback_to_previous_version: version 1 is in force, rolled back from version 2"
        assert said[1].endswith("version 1 stays in force; `brainkernel rollback 2` takes 2 up again")
        assert "is left so" in said[2]
        assert host.improving.arms.current.number == 1
        assert [(e.deed, e.uid) for e in host.store.store.audit.page(1)] == [("version", None)]


def test_alert_does_not_lead_back_to_what_was_worse(tmp_path: Path) -> None:
    """The figures of the day are those of the version before, which was mended; but what gets worse still is taken back."""
    with a_host(tmp_path) as host:
        a_day_of_words(host, wrong=9)
        host.improving.versioning.propose(LEARNED, "learned")
        at_once = host.improving.taking_back.do()
        a_day_of_words(host, wrong=1)
        host.pass_days(0.1)
        better = host.improving.arms.current.number
        for _ in range(3):
            a_day_of_words(host, wrong=20)
        host.pass_days(0.1)

    assert at_once == "it stays, since the version before did worse: 45 % of its limits wrong (26-66), now too little is known (0 words)"
    assert better == 2
    assert "version 1 in force: rolled back from version 2" in host.listener.told


def a_day_of_words(host: Host, *, wrong: int) -> None:
    """Twenty words about limits."""
    for number in range(20):
        host.judging.said(host.decided(indexer(number)), Feedback(time_ns=host.store.clock.wall_ns(), good=number >= wrong, uid=0))


def test_figures_of_a_version_are_those_of_its_own_decisions(tmp_path: Path) -> None:
    """A rollback restores the earlier figures exactly: the later version's mistakes are its own."""
    with a_host(tmp_path) as host:
        a_day_of_feedback(host)
        rates = host.improving.wrong_limits()
        host.pass_days(0.1)
        for number in range(20):
            host.judging.said(host.decided(indexer(number)), Feedback(time_ns=host.store.clock.wall_ns(), good=False, uid=0))
        later = host.improving.wrong_limits()
        host.improving.versioning.rollback(1, "uid 0")

        assert later[1] == rates[1] == host.improving.wrong_limits()[1]
        assert host.ground.figures.value(metrics.VERSION) == 1


@pytest.mark.parametrize("words", [5_000])
def test_a_flood_of_feedback_costs_bounded_room_and_loses_nobody_elses_word(tmp_path: Path, words: int) -> None:
    """Of judgements, of words to learn from and of feedback: the flood replaces itself."""
    with a_host(tmp_path) as host:
        a_day_of_feedback(host)
        before = len(host.store.store.words.all("limits"))
        decision = host.decided(renderer(1))
        host.store.store.decisions.save(decision)
        for number in range(words):
            said = Feedback(time_ns=host.store.clock.wall_ns() + number, good=bool(number % 2), uid=0)
            host.store.store.decisions.attach_feedback(decision.id, said)
            host.judging.said(decision, said)
            host.store.store.lessons.save(lesson_of(decision, undone_by_person=True), number)
        kept = {judgement.decision_id for judgement in host.store.store.judgements.all()}
        record = host.store.store.decisions.get(decision.id)

        assert len(kept) == 61
        assert len(host.store.store.lessons.since(0)) == 1
        assert len(host.store.store.words.all("limits")) == before + 1
        assert record is not None
        assert len(record.feedback) == 32
