"""A version on trial: always the same programs, and an end by what its limits did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from brainkernel.classify.adjusting import Adjusting
from brainkernel.classify.facts import Facts
from brainkernel.classify.features import traits_of
from brainkernel.classify.model import CLASSES, SHIPPED_FILE, LocalModel, ModelTier
from brainkernel.config import Config, Quality
from brainkernel.effective import StrategyFile
from brainkernel.errors import UsageError
from brainkernel.learn.quality import Measure, Rate
from brainkernel.learn.strategy import Strategy
from brainkernel.model import Category, DecisionKind, Identity, Judgement, JudgementSource
from brainkernel.store.versionfiles import Origin
from brainkernel.versioning.source import MODEL
from brainkernel.versioning.trial import Tally, Trial, is_worse, wrong_by_version
from support.nouns import a_suspect, a_symptom
from support.stores import NOON_NS, a_decision
from support.versions import EMPTY_KNOWLEDGE, LEARNED, Etc

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.versioning.versioning import Versioning

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    etc = Etc(tmp_path)
    etc.write_config("[versions]\ncanary_share = 0.25\n")
    return etc


def identity(number: int, ino: int = 0) -> Identity:
    return Identity(f"/opt/p{number}", None, "/usr/bin/bash", None, 1000 + ino)


def word(number: int, version: int, *, right: bool, after_s: int = 60) -> Judgement:
    return Judgement(
        time_ns=NOON_NS + after_s * 1_000_000_000,
        decision_id=number,
        source=JudgementSource.FEEDBACK,
        limited=True,
        act_right=right,
        version=version,
    )


def words(version: int, wrong: int, right: int) -> list[Judgement]:
    return [word(1000 * version + n, version, right=n >= wrong) for n in range(wrong + right)]


def on_trial(etc: Etc) -> Versioning:
    versioning = etc.start()
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    return versioning


def test_a_new_version_decides_about_its_share_of_programs(etc: Etc) -> None:
    """A quarter of them, whatever their number; each program always on the same side, over a restart too."""
    versioning = on_trial(etc)
    numbers = [versioning.arms.of(identity(n)).number for n in range(4000)]
    again = etc.start()

    assert versioning.arms.current.number == 1
    assert 0.22 < numbers.count(2) / 4000 < 0.28
    assert numbers == [again.arms.of(identity(n)).number for n in range(4000)]


def test_both_sides_decide_by_their_own_version(etc: Etc) -> None:
    """Rules, what was learned of limits, and the local model: all three of a program are those of the one side that it is on."""
    versioning = on_trial(etc)
    taught = a_suspect("/opt/taught")
    facts = Facts(taught.program, taught.evidence, EMPTY_KNOWLEDGE)
    adjusting = Adjusting(SHIPPED_FILE.read_bytes())
    adjusting.move([(CLASSES.index(Category.BLOATWARE), trait, 9.0) for trait in traits_of(facts)])
    shelf = versioning.shelf
    origin = Origin(time_ns=1, parent=2, why="a test", by="pytest", source="s")
    tried = shelf.files.keep(shelf.contents(2) | {MODEL: adjusting.file()} | LEARNED, origin).number
    versioning.try_out(tried, 0.25, "uid 0")
    found = set()
    for number in range(40):
        verdicts = []
        for judge, exe in ((versioning.arms.judge_by_rules, "/opt/index"), (versioning.arms.judge_by_model, "/opt/taught")):
            verdict = judge(replace(a_suspect(exe), identity=identity(number)))
            verdicts.append(verdict is not None and verdict.category)
        standards = versioning.arms.standards_of(identity(number))
        found.add((*verdicts, standards.number, standards.caution.share_right([7]) < 0.8))

    in_force = ModelTier(LocalModel(SHIPPED_FILE), EMPTY_KNOWLEDGE).judge(taught)
    assert found == {
        (Category.BACKGROUND, in_force is not None and in_force.category, 1, False),
        (Category.SERVICE, Category.BLOATWARE, tried, True),
    }
    assert in_force is None or in_force.category is not Category.BLOATWARE


@pytest.mark.parametrize(
    ("others", "tried", "hours", "ends"),
    [
        (words(1, 1, 40), words(2, 12, 8), 1, 1),
        (words(1, 1, 40), words(2, 3, 2), 1, None),
        ([], words(2, 8, 12), 1, 1),
        ([], words(2, 1, 12), 1, None),
        (words(1, 1, 40), words(2, 1, 20), 25, 2),
        (words(1, 20, 20), words(2, 1, 20), 25, 2),
        ([], [], 25, 2),
        (words(1, 1, 40), words(2, 1, 20), 23, None),
        (words(1, 1, 40), words(2, 12, 8), 25, 1),
    ],
    ids=[
        "worse",
        "too few to say",
        "bad by itself",
        "good so far",
        "as good",
        "better",
        "nobody said a word",
        "not yet",
        "worse, at the end",
    ],
)
def test_a_canary_ends_by_its_figures(etc: Etc, others: list[Judgement], tried: list[Judgement], hours: int, ends: int | None) -> None:
    """Withdrawn as soon as it is worse at 95 % confidence, taken up when its time is over; else it goes on."""
    versioning = on_trial(etc)
    trial = Trial(versioning, lambda: [*others, *tried], etc.clock)
    etc.clock.advance_to(hours * HOUR_NS)

    trial.tick()

    assert versioning.pointer is not None
    assert (versioning.pointer.number if versioning.pointer.canary is None else None) == ends
    assert (versioning.arms.canary is None) is (ends is not None)
    if ends == 1:
        assert "it does worse: 60 %" in etc.told[-1] or "it does worse: 40 %" in etc.told[-1]
        assert versioning.pointer.withdrawn == (2,)


def test_words_from_before_the_trial_do_not_count(etc: Etc) -> None:
    """Nor do those about other versions."""
    rates = wrong_by_version([word(1, 1, right=False, after_s=-5), *words(1, 6, 6), *words(3, 0, 20)], Config().quality, NOON_NS)

    assert (rates[1].value, rates[3].value) == (0.5, 0.0)


def test_clock_that_is_set_back_ends_no_trial(etc: Etc) -> None:
    """It takes longer, no more."""
    versioning = on_trial(etc)
    etc.clock.offset_to_wall_ns -= 90 * 24 * HOUR_NS
    etc.clock.advance_to(2 * HOUR_NS)

    Trial(versioning, list, etc.clock).tick()

    assert versioning.arms.canary is not None


def test_forced_strategy_ends_no_trial(etc: Etc) -> None:
    """What a person wrote is tried on, and taken up at the end; the strategy is in force beside it."""
    versioning = on_trial(etc)

    versioning.strategy_forced(StrategyFile(forced=Strategy.CONSERVATIVE), "uid 0")

    assert versioning.arms.canary is not None
    assert "strategy conservative forced; it is no version of its own while version 2 is tried" in etc.told
    assert etc.start().arms.canary is not None
    versioning.promote("a test", "uid 0")
    assert (versioning.arms.current.number, versioning.arms.current.strategy.forced) == (2, None)


def test_alert_ends_the_trial_rather_than_the_version_in_force(etc: Etc) -> None:
    """The change is the canary."""
    versioning = on_trial(etc)

    said = versioning.after_alert()

    assert "version 2 withdrawn: an alert fired" in said
    assert (versioning.arms.current.number, versioning.arms.canary) == (1, None)
    assert versioning.alert_over() == "version 1 stays in force; `brainkernel rollback 2` takes 2 up again"


@pytest.mark.parametrize(
    ("target", "why", "withdrawn"),
    [
        (1, "rolled back from version 2; version 3, which was tried, is withdrawn", (3,)),
        (2, "version 3, which was tried, is withdrawn", (3,)),
        (3, "its trial is over", ()),
    ],
)
def test_rollback_says_what_becomes_of_the_trial(etc: Etc, target: int, why: str, withdrawn: tuple[int, ...]) -> None:
    """To the person who asks, and in the audit log; and what was tried does not come back by itself."""
    versioning = on_trial(etc)
    versioning.promote("it is good", "uid 0")
    etc.write_rule("index", "development")
    versioning.follow(versioning.read())

    said = versioning.rollback(target, "uid 0")

    assert said == f"version {target} is in force, {why}"
    assert etc.logged[-1].text == f"version {target} in force: {why}"
    assert versioning.pointer is not None
    assert (versioning.arms.canary, versioning.pointer.withdrawn) == (None, withdrawn)


def test_rollback_ends_the_trial_first(etc: Etc) -> None:
    """The latest change is taken back, which is the trial; and it does not come back with a restart."""
    versioning = on_trial(etc)

    versioning.rollback(None, "uid 0")

    assert (etc.start().arms.canary, versioning.arms.current.number) == (None, 1)


def test_nothing_is_learned_into_a_trial(etc: Etc) -> None:
    """Two changes at once could not be told apart."""
    versioning = on_trial(etc)

    assert not versioning.propose(LEARNED, "learned")
    versioning.promote("a person said so", "uid 0")
    assert versioning.propose(LEARNED, "learned")
    assert versioning.pointer is not None
    assert versioning.pointer.canary is not None


def test_an_edit_during_a_trial_is_the_next_trial(etc: Etc) -> None:
    """The newest wish counts."""
    versioning = on_trial(etc)
    etc.write_rule("index", "development")
    versioning.follow(versioning.read())

    assert versioning.pointer is not None
    assert versioning.pointer.canary is not None
    assert (versioning.pointer.number, versioning.pointer.canary.number) == (1, 3)


def test_canary_that_does_not_load_is_withdrawn_at_the_start(etc: Etc) -> None:
    """And said."""
    on_trial(etc)
    folder = etc.files.folder_of(etc.files.all()[1])
    (folder / "policy.json").unlink()

    versioning = etc.start()

    assert (versioning.arms.current.number, versioning.arms.canary) == (1, None)
    assert "version 2 withdrawn: it does not load" in etc.told[-1]


def test_trying_out_what_is_in_force_is_refused(etc: Etc) -> None:
    """As is promoting where nothing is tried."""
    versioning = etc.start()

    with pytest.raises(UsageError, match="in force already"):
        versioning.try_out(1, 0.1, "uid 0")
    with pytest.raises(UsageError, match="no version is being tried out"):
        versioning.promote("now", "uid 0")


def test_tally_counts_decisions_about_harm() -> None:
    """By version; what hurt nobody says nothing."""
    tally = Tally()
    for number, kind in enumerate((DecisionKind.LIMIT, DecisionKind.LEAVE, DecisionKind.PENDING)):
        tally.decided(a_decision(number, version=3, symptom=a_symptom(), kind=kind))
    tally.decided(a_decision(9, version=3))

    assert (tally.decisions[3], tally.limits[3]) == (3, 2)


def test_nothing_is_called_worse_out_of_nothing() -> None:
    """Without a rate there is no opinion."""
    none = Rate(measure=Measure.FALSE_POSITIVE, window="total", samples=3)

    assert not is_worse(None, None)
    assert not is_worse(none, none)
    assert Quality().min_samples >= 10
