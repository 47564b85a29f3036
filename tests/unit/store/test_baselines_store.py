"""What the host is used to, over a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import FileId, Identity
from brainkernel.store import Habit, KnownIdentity, baselines
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.any_noun import any_of
from support.nouns import A_FILE
from support.stores import opened

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

AN_IDENTITY = Identity("/usr/bin/tool", A_FILE, "/usr/bin/bash", None, 1000)


def test_identity_is_counted_and_keeps_its_first_time(tmp_path: Path) -> None:
    """Meetings of one tick and of several days add up."""
    with opened(tmp_path) as first:
        first.store.baselines.meet(AN_IDENTITY, 10)
        first.store.baselines.meet(AN_IDENTITY, 20, count=4)
    with opened(tmp_path) as second:
        second.store.baselines.meet(AN_IDENTITY, 30, always=True)

        [known] = second.store.baselines.identities()

    assert known == KnownIdentity(identity=AN_IDENTITY, count=6, first_ns=10, last_ns=30, always=True)


@given(st.lists(any_of(Identity), unique=True, max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_identities_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, identities: list[Identity]) -> None:
    """A path that is not UTF-8 is found again by the gate: every byte is kept."""
    with opened(tmp_path_factory.mktemp("store")) as opened_store:
        for number, identity in enumerate(identities):
            opened_store.store.baselines.meet(identity, number)

        assert [k.identity for k in opened_store.store.baselines.identities()] == identities


def test_identities_keep_an_inode_beyond_63_bits(tmp_path: Path) -> None:
    """Overlayfs with xino sets the top bits of inode numbers."""
    file = FileId(0x00800001, (1 << 64) - 3, 7)
    with opened(tmp_path) as opened_store:
        opened_store.store.baselines.meet(Identity("/a", file, "/b", None, 0), 1)

        opened_store.store.baselines.flush()

        assert opened_store.store.baselines.path_of(file) == "/a"
        assert opened_store.store.baselines.path_of(A_FILE) is None


def test_bounds_forget_what_was_not_met_for_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Identities, shapes and habits are bounded on the disk, and read oldest first."""
    for name in ("IDENTITIES_MAX", "SHAPES_MAX", "HABITS_MAX"):
        monkeypatch.setattr(baselines, name, 3)
    with opened(tmp_path) as opened_store:
        kept = opened_store.store.baselines
        for number in range(6):
            kept.meet(Identity(f"/{number}", None, "", None, 0), number)
            kept.meet_shape((1 << 64) - 1 - number, number)
            kept.keep_habit(Habit(exe=f"/{number}", mean_pct=1.5, deviation_pct=0.5, samples=9), number)
        kept.flush()

        kept.prune()

        assert [k.identity.exe for k in kept.identities()] == ["/3", "/4", "/5"]
        assert list(kept.shapes()) == [(1 << 64) - 4, (1 << 64) - 5, (1 << 64) - 6]
        assert [h.exe for h in kept.habits()] == ["/3", "/4", "/5"]
        assert [h.exe for h in kept.habits(limit=2)] == ["/4", "/5"]


def test_habit_is_replaced_by_its_latest_state(tmp_path: Path) -> None:
    """A habit is a running figure, not a sum."""
    with opened(tmp_path) as opened_store:
        opened_store.store.baselines.keep_habit(Habit(exe="/a\udc80", mean_pct=1, deviation_pct=1, samples=1), 1)
        opened_store.store.baselines.flush()
        latest = Habit(exe="/a\udc80", mean_pct=2, deviation_pct=3, samples=4)

        opened_store.store.baselines.keep_habit(latest, 2)

        assert list(opened_store.store.baselines.habits()) == [latest]


def test_a_flood_is_written_over_several_ticks_and_nothing_of_it_is_forgotten(tmp_path: Path) -> None:
    """No tick stands still for all of it; what is read is complete at any time, also after a restart."""
    many = [Identity(f"/tmp/{number}", None, "", None, 0) for number in range(1000)]
    with opened(tmp_path) as first:
        for number, identity in enumerate(many):
            first.store.baselines.meet(identity, number)
        first.store.baselines.flush(100)
        written = first.store.database.rows("SELECT count(*) FROM identities")[0][0]
        known = [k.identity for k in first.store.baselines.identities()]
        first.store.baselines.meet(many[0], 2000)
        first.store.flush()

    with opened(tmp_path) as second:
        after = [k.identity for k in second.store.baselines.identities()]

    assert written == 250
    assert known == many
    assert after == [*many[1:], many[0]]
