"""Recorded scenarios of several days: what was wrong on the first is right on the third, and nobody's lies protect or harm."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random as Draw
from typing import TYPE_CHECKING

import pytest
from brainkernel import metrics
from brainkernel.classify.model import SHIPPED_FILE
from brainkernel.classify.ruleset import RuleSet
from brainkernel.decide.simulation import PROTECTED
from brainkernel.learning.hearing import word_about
from brainkernel.learning.learner import AFTER_DRIFT_MAX, Learner, Task
from brainkernel.learning.panel import protected_programs
from brainkernel.learning.session import word_of
from brainkernel.model import Category, DecisionKind, Judgement, JudgementSource, Suspect, Tier
from support.nouns import a_suspect, a_symptom, a_verdict
from support.stores import Opened, a_decision, opened
from support.versions import EMPTY_KNOWLEDGE, Etc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.learn.influence import Word
    from brainkernel.versioning.versioning import Versioning


@dataclass
class World:
    """A host on which decisions are made and judged, over a real store and real versions."""

    host: Opened
    etc: Etc
    versioning: Versioning = field(init=False)
    learner: Learner = field(init=False)
    decisions: int = 0
    tells: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.versioning = self.etc.start()
        self.learner = Learner(
            words=self.host.store.words,
            arms=self.versioning.arms,
            clock=self.host.clock,
            figures=self.etc.figures,
            tell=self.tells.append,
            propose=self.versioning.propose,
            model_file=SHIPPED_FILE,
            panel=lambda: protected_programs(EMPTY_KNOWLEDGE),
        )

    def is_limited(self, suspect: Suspect, category: Category = Category.BACKGROUND) -> bool:
        """Whether nothing that was learned speaks against a limit."""
        return self.versioning.arms.current.standards.caution.objection(suspect, a_verdict(category), a_symptom()) is None

    def judged(self, suspect: Suspect, *, right: bool, source: JudgementSource = JudgementSource.FEEDBACK, uid: int | None = 0) -> None:
        """A limit is set, and somebody says whether that was right."""
        self.decisions += 1
        decision = a_decision(self.decisions, suspect=suspect, kind=DecisionKind.LIMIT, symptom=a_symptom())
        self.learner.judged(decision, Judgement(time_ns=1, decision_id=decision.id, source=source, limited=True, act_right=right, uid=uid))

    def called(self, suspect: Suspect, label: Category, *, uid: int = 0, verdict: Category = Category.UNKNOWN) -> None:
        """A person says what a program is."""
        self.decisions += 1
        decision = a_decision(self.decisions, suspect=suspect, verdict=a_verdict(verdict, tier=Tier.MODEL))
        self.learner.judged(
            decision,
            Judgement(
                time_ns=1,
                decision_id=decision.id,
                source=JudgementSource.FEEDBACK,
                limited=False,
                category_right=verdict is label,
                label=label,
                uid=uid,
            ),
        )

    def answer(self, suspect: Suspect) -> Category | None:
        """What the local model says."""
        verdict = self.versioning.arms.judge_by_model(suspect)
        return verdict.category if verdict else None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path / "state") as host:
        yield World(host, Etc(tmp_path / "etc"))


def drawing(seed: int) -> Draw:
    return Draw(seed)  # noqa: S311 # reproducible, not secret


def renderer(number: int) -> Suspect:
    """What a studio's people wait for, although its name says batch."""
    return a_suspect(f"/opt/studio/bin/render-{number}", parents=("/opt/studio/bin/dispatch",), argv=(f"render-{number}", "--batch"))


def indexer(number: int) -> Suspect:
    return a_suspect(f"/usr/lib/index/worker-{number}", parents=("/usr/sbin/cron",), uid=0)


def first_days(world: World, draw: Draw) -> None:
    """Limits on renderers are taken back, limits on indexers help."""
    for number in range(40):
        world.judged(renderer(draw.randrange(6)), right=False, source=JudgementSource.UNDO, uid=None)
        world.judged(indexer(draw.randrange(30)), right=True, source=JudgementSource.EFFECT, uid=None)
        if number % 10 == 0:
            world.judged(indexer(draw.randrange(30)), right=True)


def test_mistakes_of_day_one_are_not_made_on_day_three(world: World) -> None:
    """Nor on programs of the same kind that were never limited; what helped is limited still."""
    before = [world.is_limited(renderer(number)) for number in range(12)]

    first_days(world, drawing(1))
    world.learner.finish()

    assert before == [True] * 12
    assert [world.is_limited(renderer(number)) for number in range(12)] == [False] * 12
    assert [world.is_limited(indexer(number)) for number in range(40)] == [True] * 40
    assert world.etc.figures.value(metrics.LEARNING_SESSIONS, "limits", "promoted") == 1
    assert world.versioning.arms.current.number == 2


def test_a_persons_word_outweighs_that_the_limit_helped(world: World) -> None:
    """Whoever waited was helped each time; it was the wrong program all the same."""
    for number in range(40):
        for _ in range(5):
            world.judged(renderer(number % 8), right=True, source=JudgementSource.EFFECT, uid=None)
        world.judged(renderer(number % 8), right=False, source=JudgementSource.UNDO, uid=None)
        world.judged(indexer(number), right=True, source=JudgementSource.EFFECT, uid=None)
    world.learner.finish()

    assert [world.is_limited(renderer(number)) for number in range(12)] == [False] * 12
    assert [world.is_limited(indexer(number)) for number in range(40)] == [True] * 40


def test_what_was_learned_is_gone_after_a_rollback_and_back_after_another(world: World) -> None:
    """To the bit: the same words give the same version."""
    first_days(world, drawing(1))
    world.learner.finish()
    world.versioning.rollback(1, "uid 0")
    without = world.is_limited(renderer(0))
    world.versioning.rollback(2, "uid 0")

    assert (without, world.is_limited(renderer(0))) == (True, False)


def test_learning_in_ticks_is_learning_at_once(world: World, tmp_path: Path) -> None:
    """A minibatch at a time, over hundreds of ticks, comes to the same version; and a restart finds the words."""
    first_days(world, drawing(1))
    with opened(tmp_path / "other") as host:
        other = World(host, Etc(tmp_path / "other-etc"))
        first_days(other, drawing(1))
        other.learner.finish()
        for _ in range(2000):
            world.learner.tick()

        assert world.versioning.arms.current.number == other.versioning.arms.current.number == 2
        contents = [v.shelf.contents(2)["caution.json"] for v in (world.versioning, other.versioning)]
        assert contents[0] == contents[1]


def test_few_words_teach_nothing(world: World) -> None:
    """Thirty people who were wrong once are no reason to change the agent."""
    for number in range(20):
        world.judged(renderer(number), right=False)
    world.learner.finish()

    assert world.is_limited(renderer(0))
    assert world.etc.figures.value(metrics.LEARNING_SESSIONS, "limits", "too_few") == 1


def test_noise_is_not_learned(world: World) -> None:
    """Words by chance: what was learned is no better on later words, and stays a shadow."""
    draw = drawing(7)
    for _ in range(200):
        world.judged(indexer(draw.randrange(40)), right=draw.random() < 0.5)
    world.learner.finish()

    assert world.etc.figures.value(metrics.LEARNING_SESSIONS, "limits", "rejected") == 1
    assert world.versioning.arms.current.number == 1
    assert "is not taken up" in world.learner.state()[0]


def browser(number: int) -> Suspect:
    """A browser that no rule knows: protected, in the eyes of those who use it."""
    return a_suspect(
        f"/opt/surf{number}/surf",
        argv=(f"/opt/surf{number}/surf", "--new-window"),
        parents=("/usr/bin/gnome-shell", "/usr/lib/systemd/systemd"),
    )


def updater(number: int) -> Suspect:
    return a_suspect(
        f"/opt/vendor{number}/lib/acme-telemetryd",
        argv=("acme-telemetryd", f"--url=https://telemetry.vendor{number}.com"),
        parents=("/usr/lib/systemd/systemd",),
    )


def honest_words(world: World) -> None:
    for number in range(36):
        world.called(browser(number), Category.INTERACTIVE)
        world.called(updater(number), Category.BLOATWARE)


def test_the_local_model_learns_what_people_call_programs(world: World) -> None:
    """It answers where it was silent before, also of programs that nobody named."""
    before = [world.answer(browser(100 + number)) for number in range(10)]

    honest_words(world)
    world.learner.finish()

    after = [world.answer(browser(100 + number)) for number in range(10)]
    assert before.count(Category.INTERACTIVE) < 5
    assert after.count(Category.INTERACTIVE) == 10
    assert [world.answer(updater(100 + number)) for number in range(10)] == [Category.BLOATWARE] * 10
    assert world.etc.figures.value(metrics.LEARNING_SESSIONS, "categories", "promoted") == 1


@pytest.mark.parametrize("lie", [Category.BACKGROUND, Category.BLOATWARE, Category.SUSPICIOUS])
def test_a_poisoner_with_a_tenth_of_the_feedback_gets_no_protected_program_limited(world: World, lie: Category) -> None:
    """Neither by calling the browsers something else, nor by naming made-up programs that look like them, however loudly."""
    for number in range(36):
        for uid in range(3):
            world.called(browser(number), Category.INTERACTIVE, uid=uid)
            world.called(updater(number), Category.BLOATWARE, uid=uid)
        if number % 3 == 0:
            for _ in range(100):
                world.called(browser(number), lie, uid=666)
                world.called(browser(1000 + number), lie, uid=666)
        world.learner.finish()

    assert world.etc.figures.value(metrics.LEARNING_SESSIONS, "categories", "promoted") >= 1
    assert [world.answer(browser(number)) in (*PROTECTED, None) for number in range(60)] == [True] * 60


def test_a_poisoner_alone_cannot_turn_what_rules_protect(world: World) -> None:
    """The model is not even taught: a rule says that it is a service."""
    world.etc.write_rule("index", "service")
    world.versioning.follow(world.versioning.read())
    for number in range(100):
        world.called(a_suspect("/opt/index", argv=("index", str(number))), Category.BLOATWARE, uid=number)

    assert world.host.store.words.count(Task.CATEGORIES) == 0


def words_of(suspects: list[Suspect], label: Category) -> list[Word]:
    rules = RuleSet((), EMPTY_KNOWLEDGE)
    kept = [word_about(suspect, label, "exam", 1.0, rules) for suspect in suspects]
    return [word_of(replace(word, id=number)) for number, word in enumerate(kept) if word is not None]


@pytest.mark.parametrize("watched", [False, True])
def test_a_candidate_that_harms_one_protected_program_is_not_taken_up(world: World, watched: bool) -> None:
    """A host where everybody calls the browsers background work: only the panel of protected programs speaks for them."""
    world.learner._panel = lambda: words_of(
        [browser(number) for number in range(3)] if watched else [], Category.INTERACTIVE
    )  # a smaller exam
    for number in range(100):
        world.called(browser(1000 + number), Category.BACKGROUND, uid=number % 5)
    world.learner.finish()

    assert (world.answer(browser(1)) is Category.BACKGROUND) is not watched
    assert ("3 protected programs worse off" in world.learner.state()[1]) is watched


def test_panel_knows_protected_programs_of_the_exam() -> None:
    """Servers, desktops and what a login needs."""
    panel = list(protected_programs(EMPTY_KNOWLEDGE))

    assert len(panel) > 50
    assert all(word.protected and word.traits for word in panel)


def test_drift_is_told_and_learned_from_at_once(world: World) -> None:
    """What helped for months helps nobody any more."""
    for number in range(120):
        world.judged(indexer(number), right=True, source=JudgementSource.EFFECT, uid=None)
    world.learner.finish()
    for number in range(60):
        world.judged(indexer(number + 200), right=False, source=JudgementSource.EFFECT, uid=None)

    assert world.etc.figures.value(metrics.DRIFTS, "limits") >= 1
    assert "mistakes have become more" in world.tells[0]
    assert AFTER_DRIFT_MAX < 180


def test_contradictory_feedback_changes_nothing(world: World) -> None:
    """Each browser is called two things by as many people."""
    for number in range(40):
        world.called(browser(number), Category.INTERACTIVE, uid=1)
        world.called(browser(number), Category.BACKGROUND, uid=2)
    world.learner.finish()

    assert world.etc.figures.value(metrics.LEARNING_SESSIONS, "categories", "too_few") == 1
    assert world.versioning.arms.current.number == 1


def test_many_thousand_words_stay_bounded(world: World) -> None:
    """A script that says the same for ever; what others said before is there still."""
    honest_words(world)
    decision = a_decision(1, suspect=browser(1), kind=DecisionKind.LIMIT, symptom=a_symptom())
    word = Judgement(
        time_ns=1,
        decision_id=1,
        source=JudgementSource.FEEDBACK,
        limited=True,
        act_right=False,
        label=Category.BACKGROUND,
        category_right=True,
        uid=9,
    )
    for _ in range(5000):
        world.learner.judged(decision, word)

    assert world.host.store.words.count(Task.LIMITS) == 1
    assert world.host.store.words.count(Task.CATEGORIES) == 73


def test_limits_on_attackers_that_help_nobody_teach_nothing(world: World) -> None:
    """Whether a limit helps is in the hand of who is limited; a person's word about it counts."""
    suspect, verdict = a_suspect("/tmp/.x/miner"), a_verdict(Category.SUSPICIOUS)
    decision = a_decision(1, suspect=suspect, verdict=verdict, kind=DecisionKind.LIMIT, symptom=a_symptom())
    useless = Judgement(time_ns=1, decision_id=1, source=JudgementSource.EFFECT, limited=True, act_right=False)

    world.learner.judged(decision, useless)
    heard = world.host.store.words.count(Task.LIMITS)
    world.learner.judged(decision, replace(useless, source=JudgementSource.FEEDBACK, uid=0))

    assert (heard, world.host.store.words.count(Task.LIMITS)) == (0, 1)


def test_llm_that_passed_its_exam_teaches(world: World) -> None:
    """As a source of its own, with half a person's weight; an unknown teaches nothing."""
    world.learner.told(browser(1), a_verdict(Category.INTERACTIVE, tier=Tier.LLM, model="groq/llama"))
    world.learner.told(browser(2), a_verdict(Category.UNKNOWN, tier=Tier.LLM, model="groq/llama"))

    kept = world.host.store.words.all(Task.CATEGORIES)
    assert [(word.source, word.weight, word.protected) for word in kept] == [("llm groq/llama", 0.5, True)]


def test_learning_can_be_turned_off(world: World) -> None:
    """Then nothing is heard either."""
    world.etc.write_config("[learning]\nenabled = false\n")
    world.versioning.follow(world.versioning.read())

    honest_words(world)
    world.learner.tick()

    assert world.host.store.words.count(Task.CATEGORIES) == 0
    assert world.learner.state() == ["learning is turned off (learning.enabled)"]


def test_version_that_cannot_be_kept_is_not_taken_up(world: World) -> None:
    """The words stay; the next session tries again."""

    def refuse(_changes: dict[str, bytes], _why: str) -> bool:
        return False

    world.learner._propose = refuse  # a disk that refuses
    first_days(world, drawing(1))
    world.learner.finish()

    assert world.etc.figures.value(metrics.LEARNING_SESSIONS, "limits", "held") == 1
    assert world.host.store.words.count(Task.LIMITS) > 60


def test_session_that_fails_says_so_and_learning_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that diverged never become a version."""

    def diverged(_changes: object) -> bytes:
        msg = "trait 7 has the weight nan"
        raise ValueError(msg)

    monkeypatch.setattr("brainkernel.learn.caution.encoded", diverged)
    first_days(world, drawing(1))
    world.learner.finish()

    assert world.etc.figures.value(metrics.LEARNING_SESSIONS, "limits", "failed") == 1
    assert "trait 7 has the weight nan" in world.learner.state()[0]
    assert world.versioning.arms.current.number == 1
