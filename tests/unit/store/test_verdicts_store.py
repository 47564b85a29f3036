"""The verdict cache and the lessons on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import Category, FileId, Identity, Lesson, Tier
from brainkernel.store import verdicts as verdicts_module
from support.nouns import A_FILE, SECOND_NS, a_verdict
from support.stores import opened

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

A_VERDICT = a_verdict(tier=Tier.LLM, model="groq/llama")


def test_verdict_is_found_after_a_restart_and_its_hits_are_counted(tmp_path: Path) -> None:
    """What an LLM said once is not asked again."""
    with opened(tmp_path) as first:
        first.store.verdicts.put("key\udc80", A_VERDICT, ttl_s=60)
        first.store.verdicts.get("key\udc80")
    with opened(tmp_path) as second:
        found = second.store.verdicts.get("key\udc80")

        assert found == A_VERDICT
        assert second.store.verdicts.hits("key\udc80") == 2
        assert second.store.verdicts.get("another") is None


def test_verdict_expires_by_wall_time(tmp_path: Path) -> None:
    """Time counts while the host is off, too. It is known for a week that there was one, so that it can be asked for again."""
    with opened(tmp_path) as opened_store:
        opened_store.store.verdicts.put("key", A_VERDICT, ttl_s=60)

        opened_store.clock.advance_to(60 * SECOND_NS)

        assert opened_store.store.verdicts.get("key") is None
        opened_store.store.verdicts.prune()
        assert opened_store.store.verdicts.count() == 1
        opened_store.clock.advance_to((60 + 8 * 86_400) * SECOND_NS)
        opened_store.store.verdicts.prune()
        assert opened_store.store.verdicts.count() == 0


def test_forget_file_drops_the_verdicts_on_that_version_alone(tmp_path: Path) -> None:
    """A replaced program is judged anew."""
    other = FileId(A_FILE.dev, A_FILE.ino, A_FILE.ctime_ns + 1)
    with opened(tmp_path) as opened_store:
        opened_store.store.verdicts.put("old", A_VERDICT, 60, A_FILE)
        opened_store.store.verdicts.put("new", A_VERDICT, 60, other)
        opened_store.store.verdicts.put("none", A_VERDICT, 60)

        opened_store.store.verdicts.forget_file(A_FILE)

        found = [opened_store.store.verdicts.get(key) is not None for key in ("old", "new", "none")]
    assert found == [False, True, True]


def test_prune_drops_what_expires_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is bounded."""
    monkeypatch.setattr(verdicts_module, "VERDICTS_MAX", 2)
    with opened(tmp_path) as opened_store:
        for number in range(1, 5):
            opened_store.store.verdicts.put(f"k{number}", A_VERDICT, number)

        opened_store.store.verdicts.prune()

        assert [opened_store.store.verdicts.get(f"k{n}") is not None for n in range(1, 5)] == [False, False, True, True]


def test_damaged_verdict_is_forgotten(tmp_path: Path) -> None:
    """It will be asked again."""
    with opened(tmp_path) as opened_store:
        opened_store.store.verdicts.put("key", A_VERDICT, 60)
        opened_store.store.database.write("UPDATE verdicts SET verdict = x'00'")

        assert opened_store.store.verdicts.get("key") is None
        assert opened_store.store.verdicts.count() == 0


def test_lessons_come_back_in_order_with_exact_paths(tmp_path: Path) -> None:
    """A restart forgets no person's word, whatever the program is called."""
    lessons = [
        Lesson(decision_id=n, identity=Identity(f"/a\\{n}\udc80", None, "", None, 0), category=Category.BACKGROUND, undone_by_person=True)
        for n in range(3)
    ]
    with opened(tmp_path) as first:
        for time_ns, lesson in enumerate(lessons):
            first.store.lessons.save(lesson, time_ns)
    with opened(tmp_path) as second:
        assert second.store.lessons.since(0) == [(1, lessons[1]), (2, lessons[2])]
        assert second.store.lessons.since(-1, limit=1) == [(2, lessons[2])]
