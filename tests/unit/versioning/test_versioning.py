"""Which version decides: the files', what was learned, or an earlier one; over restarts, rollbacks and bad disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from brainkernel import metrics
from brainkernel.effective import StrategyFile
from brainkernel.errors import UsageError
from brainkernel.learn.caution import CautionFile
from brainkernel.learn.strategy import Strategy
from brainkernel.model import Category
from brainkernel.versioning.source import CAUTION
from support.versions import LEARNED, Etc, index_is

if TYPE_CHECKING:
    from pathlib import Path

    from brainkernel.versioning.versioning import Versioning

DAY_NS = 86_400_000_000_000


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    return Etc(tmp_path)


def background_confidence(versioning: Versioning) -> float:
    return versioning.arms.current.standards.config.policy.background.min_confidence


def test_first_start_makes_the_first_version(etc: Etc) -> None:
    """Of what the files say and the package ships; a restart changes nothing."""
    first = etc.start()
    again = etc.start()

    assert [v.arms.current.number for v in (first, again)] == [1, 1]
    assert len(etc.files.all()) == 1
    assert etc.figures.value(metrics.VERSION) == 1
    assert etc.told == ["version 1 in force: the first one"]


@pytest.mark.parametrize("restarting", [True, False], ids=["restart", "reload"])
def test_edit_of_a_file_is_a_new_version(etc: Etc, restarting: bool) -> None:
    """Of the configuration or of the rules; it says which."""
    versioning = etc.start()
    etc.write_config("[policy.background]\nmin_confidence = 0.9\n")
    etc.write_rule("index", "service")

    if restarting:
        versioning = etc.start()
    else:
        versioning.follow(versioning.read())

    assert versioning.arms.current.number == 2
    assert (index_is(versioning), background_confidence(versioning)) == (Category.SERVICE, 0.9)
    assert etc.files.all()[1].why == "the files changed: policy, rules.d/index.yaml"


def test_edit_that_is_no_version_of_its_own(etc: Etc) -> None:
    """A comment, or a setting that decides nothing, makes no version; it holds at once all the same."""
    versioning = etc.start()
    etc.write_config("# a remark\n[safety]\nprotected_exes = ['/opt/pay']\n[agent]\nmode = 'enforce'\n")

    versioning.follow(versioning.read())

    assert len(etc.files.all()) == 1
    config = versioning.arms.current.standards.config
    assert (config.safety.protected_exes, config.agent.mode) == (("/opt/pay",), "enforce")
    assert etc.changed[-1] is versioning.arms.current


def test_rollback_restores_the_earlier_version_until_a_file_changes(etc: Etc) -> None:
    """Over a restart and a reload too; a person's next edit is the next version, and the rolled back one can be taken up."""
    versioning = etc.start()
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())

    said = versioning.rollback(None, "uid 0")

    assert said == "version 1 is in force, rolled back from version 2"
    assert index_is(versioning) is Category.BACKGROUND
    versioning.follow(versioning.read())
    versioning = etc.start()
    assert (versioning.arms.current.number, index_is(versioning)) == (1, Category.BACKGROUND)
    assert versioning.pointer is not None
    assert "the files say what version 2 holds" in versioning.override_of(versioning.pointer)
    versioning.rollback(2, "uid 0")
    assert index_is(versioning) is Category.SERVICE
    assert versioning.override_of(versioning.pointer) == ""
    versioning.rollback(1, "uid 0")
    etc.write_rule("index", "development")
    versioning.follow(versioning.read())
    assert (versioning.arms.current.number, index_is(versioning)) == (3, Category.DEVELOPMENT)


def test_rollback_takes_no_protection_away_and_sets_no_mode(etc: Etc) -> None:
    """Safety and mode are the files' in every version: what a person protected, or told to observe, stays so."""
    etc.write_config("[agent]\nmode = 'enforce'\n")
    versioning = etc.start()
    etc.write_config("[agent]\nmode = 'observe'\n[safety]\nprotected_exes = ['/opt/pay']\n[policy]\nlease_s = 30\n")
    versioning.follow(versioning.read())

    versioning.rollback(1, "uid 0")

    config = versioning.arms.current.standards.config
    assert config.policy.lease_s == 60
    assert (config.agent.mode, config.safety.protected_exes) == ("observe", ("/opt/pay",))


def test_rollback_walks_back_and_ends_at_the_first(etc: Etc) -> None:
    """Each time to the version before; then it says that there is none."""
    versioning = etc.start()
    for category in ("service", "development"):
        etc.write_rule("index", category)
        versioning.follow(versioning.read())

    versioning.rollback(None, "uid 0")
    versioning.rollback(None, "uid 0")

    assert versioning.arms.current.number == 1
    with pytest.raises(UsageError, match="no version before 1"):
        versioning.rollback(None, "uid 0")
    with pytest.raises(UsageError, match="no version 9"):
        versioning.rollback(9, "uid 0")
    with pytest.raises(UsageError, match="in force already"):
        versioning.rollback(1, "uid 0")


def test_what_was_learned_is_a_version_and_survives_an_edit(etc: Etc) -> None:
    """Files and learning change apart from each other."""
    versioning = etc.start()
    assert versioning.propose(LEARNED, "learned of 40 words")
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    versioning = etc.start()

    assert [m.why for m in etc.files.all()] == ["the first one", "learned of 40 words", "the files changed: rules.d/index.yaml"]
    assert etc.files.contents_of(etc.files.all()[2])[CAUTION] == LEARNED[CAUTION]
    versioning.rollback(2, "uid 0")
    assert (index_is(versioning), versioning.arms.current.standards.caution.share_right([7]) < 0.9) == (Category.BACKGROUND, True)
    versioning.rollback(1, "uid 0")
    assert versioning.arms.current.standards.caution.share_right([7]) == versioning.arms.current.standards.caution.share_right([])


def test_what_is_learned_after_a_rollback_does_not_pass_for_what_the_files_say(etc: Etc) -> None:
    """The note that the files say something else stays."""
    versioning = etc.start()
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    versioning.rollback(1, "uid 0")

    versioning.propose(LEARNED, "learned")

    assert (versioning.arms.current.number, index_is(versioning)) == (3, Category.BACKGROUND)
    assert versioning.pointer is not None
    assert "what version 2 holds" in versioning.override_of(versioning.pointer)


def test_edit_that_is_taken_back_ends_the_override(etc: Etc) -> None:
    """The files say what is in force: nothing is overridden any more, and no version was made."""
    versioning = etc.start()
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    versioning.rollback(1, "uid 0")
    etc.write_rule("index", "background")
    versioning.follow(versioning.read())

    assert versioning.pointer is not None
    assert (versioning.pointer.number, len(etc.files.all()), versioning.override_of(versioning.pointer)) == (1, 2, "")


def test_alert_takes_the_latest_change_back_once(etc: Etc) -> None:
    """A second firing, or a restart between, does not walk further back; what was withdrawn is not learned again."""
    versioning = etc.start()
    versioning.propose({CAUTION: msgspec.json.encode(CautionFile({1: (1.0, 0.0)}))}, "learned first")
    versioning.propose(LEARNED, "learned second")

    said = versioning.after_alert()

    assert said == "version 2 is in force, rolled back from version 3"
    assert "is left so" in versioning.after_alert()
    versioning = etc.start()
    assert "is left so" in versioning.after_alert()
    assert not versioning.propose(LEARNED, "learned once more")
    assert versioning.arms.current.number == 2
    assert versioning.alert_over() == "version 2 stays in force; `brainkernel rollback 3` takes 3 up again"
    versioning.rollback(3, "uid 0")
    assert versioning.arms.current.number == 3


def test_alert_that_is_over_names_what_it_took_back(etc: Etc) -> None:
    """Not the newest of all that were ever withdrawn; and nothing once a person has decided otherwise."""
    versioning = etc.start()
    versioning.propose({CAUTION: msgspec.json.encode(CautionFile({1: (1.0, 0.0)}))}, "learned first")
    versioning.propose(LEARNED, "learned second")
    versioning.after_alert()
    versioning.rollback(1, "uid 0")
    person = versioning.alert_over()
    versioning.rollback(2, "uid 0")

    versioning.after_alert()

    assert person == "nothing was taken back"
    assert versioning.alert_over() == "version 1 stays in force; `brainkernel rollback 2` takes 2 up again"
    assert etc.start().alert_over() == "version 1 stays in force; `brainkernel rollback 2` takes 2 up again"


def test_alert_long_after_a_change_takes_nothing_back(etc: Etc) -> None:
    """Nor one after a clock that was set back."""
    versioning = etc.start()
    versioning.propose(LEARNED, "learned")
    etc.clock.advance_to(2 * DAY_NS)
    late = versioning.after_alert()
    etc.clock.offset_to_wall_ns -= 9 * DAY_NS
    set_back = versioning.after_alert()

    assert "no change to take back" in late
    assert "no change to take back" in set_back
    assert versioning.arms.current.number == 2


def test_forced_strategy_is_part_of_a_version(etc: Etc) -> None:
    """Rolled back with it."""
    versioning = etc.start()

    versioning.strategy_forced(StrategyFile(forced=Strategy.AGGRESSIVE), "uid 0")

    versioning.rollback(None, "uid 0")
    assert [effective.strategy.forced for effective in etc.changed] == [Strategy.AGGRESSIVE, None]


def test_only_so_many_versions_are_kept(etc: Etc) -> None:
    """The one in force and its predecessor always."""
    etc.write_config("[versions]\nkeep = 4\n")
    versioning = etc.start()
    for number in range(10):
        versioning.propose({CAUTION: msgspec.json.encode(CautionFile({number: (1.0, 0.0)}))}, f"learned {number}")

    assert [m.number for m in etc.files.all()] == [8, 9, 10, 11]
    versioning.rollback(None, "uid 0")
    assert versioning.arms.current.number == 10


def test_every_change_is_in_the_audit_log(etc: Etc) -> None:
    """With who did it."""
    versioning = etc.start()
    versioning.propose(LEARNED, "learned")
    versioning.rollback(None, "uid 1000")

    assert [(e.deed, e.uid, e.text) for e in etc.logged] == [
        ("version", None, "version 1 in force: the first one"),
        ("version", None, "version 2 in force: learned"),
        ("version", 1000, "version 1 in force: rolled back from version 2"),
    ]
