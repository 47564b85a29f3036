"""Which version decides when files are damaged, invalid or lost, the disk is full, or the agent is killed half-way."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from brainkernel.classify.adjusting import Adjusting
from brainkernel.classify.model import SHIPPED_FILE
from brainkernel.effective import StrategyFile
from brainkernel.errors import ConfigError, StoreError
from brainkernel.learn.strategy import Strategy
from brainkernel.model import Category
from brainkernel.store import versionfiles
from brainkernel.versioning.source import CAUTION, MODEL
from brainkernel.versioning.trial import Trial
from hypothesis import given, settings
from hypothesis import strategies as st
from support.interrupted import KilledError, interrupted
from support.versions import LEARNED, Etc, index_is

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def etc(tmp_path: Path) -> Etc:
    return Etc(tmp_path)


def full(*_: object) -> None:
    """A write to a disk that has no room left."""
    raise OSError(28, "No space left on device")


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


def test_pointer_that_is_lost_is_made_anew(etc: Etc) -> None:
    """The newest version that loads is taken."""
    versioning = etc.start()
    versioning.propose(LEARNED, "learned")
    (etc.files.directory / "current.json").write_bytes(b"\xff")

    assert etc.start().arms.current.number == 2
    assert "which version was in force is not known" in etc.told[-2]


def test_pointer_lost_beside_an_invalid_file_stops_nothing(etc: Etc) -> None:
    """The rules of the newest version that loads stand in, as with a pointer; when the file is mended it is followed."""
    versioning = etc.start()
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    (etc.files.directory / "current.json").write_bytes(b"\xff")
    (etc.rules / "index.yaml").write_text("rules: [{id: x}]")

    versioning = etc.start()

    assert (versioning.arms.current.number, index_is(versioning)) == (2, Category.SERVICE)
    etc.write_rule("index", "development")
    versioning.follow(versioning.read())
    assert (versioning.arms.current.number, index_is(versioning)) == (3, Category.DEVELOPMENT)


def test_invalid_configuration_at_a_start_is_an_error_although_versions_are_kept(etc: Etc) -> None:
    """What is protected and whether to act stand in no version: without them nothing may act, so nothing stands in for it."""
    etc.start()
    etc.write_config("[safety]\nprotected_exe = ['/opt/pay']\n")

    with pytest.raises(ConfigError, match=r"brainkernel\.toml:2: safety\.protected_exe: unknown key; did you mean 'protected_exes'"):
        etc.start()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_damage_anywhere_never_stops_the_agent(data: st.DataObject) -> None:
    """Any files cut, changed, emptied or removed: it starts, says so, and decides by the files' rules or an earlier version's."""
    with TemporaryDirectory() as directory:
        etc = Etc(Path(directory))
        versioning = etc.start()
        versioning.propose(LEARNED, "learned")
        etc.write_rule("index", "service")
        versioning.follow(versioning.read())
        files = sorted(file for file in etc.files.directory.rglob("*") if file.is_file())
        for file in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=4, unique=True)):
            content = file.read_bytes()
            cut = data.draw(st.integers(0, len(content) - 1))
            harm = data.draw(st.sampled_from(["cut", "flip", "remove", "garbage"]))
            if harm == "remove":
                file.unlink()
            else:
                flipped = bytes([content[cut] ^ data.draw(st.integers(1, 255))])
                file.write_bytes(
                    {"cut": content[:cut], "flip": content[:cut] + flipped + content[cut + 1 :], "garbage": b"\xff\x00{"}[harm]
                )

        versioning = etc.start()

        assert index_is(versioning) in (Category.SERVICE, Category.BACKGROUND)
        assert versioning.arms.current.number == etc.start().arms.current.number


def test_nothing_left_begins_anew(etc: Etc) -> None:
    """All versions damaged: what the files say is the next one."""
    etc.start()
    shutil.rmtree(etc.files.folder_of(etc.files.all()[0]) / "rules.d")

    versioning = etc.start()

    assert (versioning.arms.current.number, index_is(versioning)) == (2, Category.BACKGROUND)


def test_full_disk_keeps_what_is_in_force_and_catches_up(etc: Etc, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit holds although it cannot be kept; when the disk is back it is kept. Nothing is learned or rolled back meanwhile."""
    versioning = etc.start()

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


def test_edit_on_a_full_disk_that_is_taken_back_leaves_the_kept_version(etc: Etc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that was in force over the files: what could not be kept does not outlive its edit."""
    versioning = etc.start()
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    versioning.rollback(1, "uid 0")

    with monkeypatch.context() as patch:
        patch.setattr(versionfiles, "_write", full)
        etc.write_rule("index", "development")
        versioning.follow(versioning.read())
        unkept = (versioning.arms.current.number, index_is(versioning))
        etc.write_rule("index", "service")
        versioning.follow(versioning.read())

    assert unkept == (0, Category.DEVELOPMENT)
    assert (versioning.arms.current.number, index_is(versioning), versioning.unkept_because) == (1, Category.BACKGROUND, "")


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


def test_full_disk_ends_no_trial_and_no_agent(etc: Etc, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is tried again; an alert says so."""
    etc.write_config("[versions]\ncanary_share = 0.25\n")
    versioning = etc.start()
    etc.write_rule("index", "service")
    versioning.follow(versioning.read())
    trial = Trial(versioning, list, etc.clock)
    etc.clock.advance_to(30 * 3_600_000_000_000)

    with monkeypatch.context() as patch:
        patch.setattr(versionfiles, "_write", full)
        trial.tick()
        alert = versioning.after_alert()
    still = versioning.arms.canary
    etc.clock.advance_to(31 * 3_600_000_000_000)
    trial.tick()

    assert still is not None
    assert "version 1 stays: " in alert
    assert (versioning.arms.current.number, versioning.arms.canary) == (2, None)


def test_forced_strategy_that_does_not_fit_on_the_disk_says_so(etc: Etc, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version in force stays."""
    versioning = etc.start()

    monkeypatch.setattr(versionfiles, "_write", full)
    versioning.strategy_forced(StrategyFile(forced=Strategy.AGGRESSIVE), "uid 0")

    assert "strategy aggressive forced, which cannot be kept as a version: " in etc.told[-1]
    assert versioning.arms.current.number == 1


def test_shipped_model_that_is_being_replaced_stops_nothing(tmp_path: Path) -> None:
    """A reload in the middle of an upgrade is refused; the version in force stays."""
    model = tmp_path / "model.bin"
    model.write_bytes(SHIPPED_FILE.read_bytes())
    versioning = Etc(tmp_path, model).start()
    model.unlink()

    with pytest.raises(ConfigError, match=r"model\.bin: cannot be read"):
        versioning.read()

    assert versioning.arms.current.number == 1


def test_upgrade_with_another_model_is_a_version_that_learns_anew(tmp_path: Path) -> None:
    """What was learned on top of the old one is not taken for the new one; the limits' experience stays."""
    model = tmp_path / "model.bin"
    model.write_bytes(SHIPPED_FILE.read_bytes())
    etc = Etc(tmp_path, model)
    etc.start().propose(LEARNED | {MODEL: another_model()}, "learned")
    shipped_anew = another_model(0.2)
    model.write_bytes(shipped_anew)

    versioning = etc.start()

    contents = etc.files.contents_of(etc.files.all()[2])
    assert versioning.arms.current.number == 3
    assert (contents[MODEL], contents[CAUTION]) == (shipped_anew, LEARNED[CAUTION])


def another_model(change: float = 0.1) -> bytes:
    adjusting = Adjusting(SHIPPED_FILE.read_bytes())
    adjusting.move([(0, 7, change)])
    return adjusting.file()
