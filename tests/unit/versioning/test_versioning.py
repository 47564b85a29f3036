"""Which version decides: the files', what was learned, or an earlier one; over restarts, rollbacks and bad disks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from brainkernel import metrics
from brainkernel.effective import StrategyFile
from brainkernel.errors import ConfigError, StoreError, UsageError
from brainkernel.learn.caution import CautionFile
from brainkernel.learn.strategy import Strategy
from brainkernel.model import Category
from brainkernel.store import versionfiles
from brainkernel.versioning.source import CAUTION
from support.interrupted import KilledError, interrupted
from support.nouns import a_suspect
from support.versions import Etc

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.versioning.versioning import Versioning

DAY_NS = 86_400_000_000_000
LEARNED = {CAUTION: msgspec.json.encode(CautionFile({7: (1.0, -1.0)}))}


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    return Etc(tmp_path)


def index_is(versioning: Versioning) -> Category | None:
    verdict = versioning.arms.judge_by_rules(a_suspect("/opt/index"))
    return verdict.category if verdict else None


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


def test_rollback_to_a_damaged_version_changes_nothing(etc: Etc) -> None:
    """It is loaded before anything is written."""
    versioning = etc.start()
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    first = etc.files.all()[0]
    (etc.files.folder_of(first) / "model.bin").write_bytes(b"NaN" * 1000)

    with pytest.raises(StoreError, match=r"model\.bin: damaged"):
        versioning.rollback(1, "uid 0")

    assert (versioning.arms.current.number, index_is(versioning)) == (2, Category.SERVICE)


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


def test_invalid_file_leaves_the_old_version_in_force(etc: Etc) -> None:
    """At a reload it is refused; at a start the rules of the last version that loads stand in, and it says so."""
    versioning = etc.start()
    (etc.rules / "index.yaml").write_text("rules: [{id: x}]")

    with pytest.raises(ConfigError, match=r"index\.yaml:1"):
        versioning.follow(versioning.read())
    versioning = etc.start()

    assert (versioning.arms.current.number, index_is(versioning)) == (1, Category.BACKGROUND)
    assert "the rules of version 1, the last that load, are in force" in etc.told[-1]
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    assert (versioning.arms.current.number, index_is(versioning)) == (2, Category.SERVICE)


def test_invalid_file_at_the_very_first_start_is_an_error(etc: Etc) -> None:
    """There is nothing that could stand in."""
    (etc.rules / "index.yaml").write_text("rules: [{id: x}]")

    with pytest.raises(ConfigError):
        etc.start()


@pytest.mark.parametrize("name", ["model.bin", "caution.json", "policy.json", "strategy.json", "rules.d/index.yaml", "manifest.json"])
@pytest.mark.parametrize("garbage", [b"", b'{"weights": {"1": [NaN, 0]}}', b"\x00" * 64])
def test_version_that_does_not_load_gives_way_to_the_last_that_does(etc: Etc, name: str, garbage: bytes) -> None:
    """Whichever of its files is damaged; it is said, stays so over the next start, and nobody needs to do anything."""
    versioning = etc.start()
    versioning.propose(LEARNED, "learned")
    folder = etc.files.folder_of(etc.files.all()[1])
    (folder / name).write_bytes(garbage)

    versioning = etc.start()
    once_more = etc.start()

    assert [v.arms.current.number for v in (versioning, once_more)] == [1, 1]
    assert index_is(versioning) is Category.BACKGROUND
    assert any("version 1 in force: the last that loads" in text for text in etc.told)


def test_damaged_model_costs_nobody_their_policy(etc: Etc) -> None:
    """What a person wrote is taken up again, with what was learned before; a version in force over the files is not."""
    versioning = etc.start()
    versioning.propose(LEARNED, "learned")
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    (etc.files.folder_of(etc.files.all()[2]) / "caution.json").write_text("{")
    versioning = etc.start()

    assert (versioning.arms.current.number, index_is(versioning)) == (4, Category.SERVICE)
    assert versioning.arms.current.standards.caution.share_right([7]) < 0.9
    versioning.rollback(2, "uid 0")
    (etc.files.folder_of(etc.files.find(2) or etc.files.all()[0]) / "caution.json").write_text("{")
    versioning = etc.start()
    assert (versioning.arms.current.number, index_is(versioning)) == (1, Category.BACKGROUND)


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


def test_pointer_that_is_lost_is_made_anew(etc: Etc) -> None:
    """The newest version that loads is taken."""
    versioning = etc.start()
    versioning.propose(LEARNED, "learned")
    (etc.files.directory / "current.json").write_bytes(b"\xff")

    assert etc.start().arms.current.number == 2
    assert "which version was in force is not known" in etc.told[-2]


def test_nothing_left_begins_anew(etc: Etc) -> None:
    """All versions damaged: what the files say is the next one."""
    etc.start()
    shutil.rmtree(etc.files.folder_of(etc.files.all()[0]) / "rules.d")

    versioning = etc.start()

    assert (versioning.arms.current.number, index_is(versioning)) == (2, Category.BACKGROUND)


def test_full_disk_keeps_what_is_in_force_and_catches_up(etc: Etc, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit holds although it cannot be kept; when the disk is back it is kept. Nothing is learned or rolled back meanwhile."""
    versioning = etc.start()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(versionfiles, "_write", full)
        etc.write_rule("index", "service")
        versioning.follow(versioning.read())
        assert (versioning.arms.current.number, index_is(versioning)) == (0, Category.SERVICE)
        assert "No space left on device" in versioning.unkept_because
        assert not versioning.propose(LEARNED, "learned")
        with pytest.raises(StoreError, match="No space left"):
            versioning.rollback(1, "uid 0")
        etc.clock.advance_to(61_000_000_000)
        versioning.tick()
    assert len([text for text in etc.told if "no version can be kept" in text]) == 1
    etc.clock.advance_to(122_000_000_000)
    versioning.tick()

    assert (versioning.arms.current.number, index_is(versioning)) == (2, Category.SERVICE)
    assert "versions can be kept again" in etc.told


def test_state_directory_that_cannot_be_made_is_gone_without(etc: Etc) -> None:
    """The agent works as if there were no versions."""
    (etc.root / "state").write_text("a file in the way")

    versioning = etc.start()

    assert (versioning.arms.current.number, index_is(versioning)) == (0, Category.BACKGROUND)
    assert versioning.after_alert() == "no version is kept, so there is none to go back to"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [KilledError, lambda: OSError(28, "No space left on device")], ids=["killed", "disk full"])
def test_rollback_interrupted_anywhere_is_done_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException]
) -> None:
    """Before each of its system calls: the next start has the old version or the new one, whole, and nothing to repair."""
    began = Etc(tmp_path / "began")
    versioning = began.start()
    began.write_rule("index", "service")
    versioning.follow(versioning.read())
    found = []
    for at in range(100):
        etc = Etc(Path(shutil.copytree(began.root, tmp_path / f"at-{at}")))
        running = etc.start()
        went_on = not interrupted(monkeypatch, at, error, lambda: running.rollback(None, "uid 0"))  # noqa: B023
        again = Etc(etc.root).start()
        assert index_is(again) is {1: Category.BACKGROUND, 2: Category.SERVICE}[again.arms.current.number]
        assert [text for text in etc.told if "does not load" in text] == []
        found.append(again.arms.current.number)
        if went_on:
            break

    assert found[0] == 2
    assert found[-1] == 1
    assert found == sorted(found, reverse=True)
    assert len(found) > 4


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
