"""The feedback buffer: bounded, fair between sources, and there after a restart."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from brainkernel.model import Judgement, JudgementSource
from brainkernel.store import KeptWord, words
from brainkernel.store.codec import encode
from brainkernel.store.files import FILE_NAME
from brainkernel.store.migrations import migrate
from support.stores import opened

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


JUDGED_ONCE = 7  # the schema version that has one judgement of a source about a decision


def a_word(occasion: int = 1, **changes: Any) -> KeptWord:
    plain: dict[str, Any] = {
        "source": "uid 0", "occasion": occasion, "subject": occasion, "label": 1, "weight": 0.5, "protected": False, "traits": [1, 65_535],
    }  # fmt: skip
    return KeptWord(**(plain | changes))


def test_words_outlive_a_restart(tmp_path: Path) -> None:
    """In the order in which they came, each task its own."""
    with opened(tmp_path) as host:
        host.store.words.save("act", a_word(1))
        host.store.words.save("act", a_word(2, protected=True))
        host.store.words.save("category", a_word(3))
    with opened(tmp_path) as host:
        kept = host.store.words.all("act")

        assert [(w.occasion, w.label, w.weight, w.protected, list(w.traits)) for w in kept] == [
            (1, 1, 0.5, False, [1, 65_535]),
            (2, 1, 0.5, True, [1, 65_535]),
        ]
        assert host.store.words.newest("act") == kept[-1].id
        assert host.store.words.count("category") == 1


def test_the_same_word_again_replaces_the_first(tmp_path: Path) -> None:
    """A thousand times bad about one decision is one row, with what was said last, at the end."""
    with opened(tmp_path) as host:
        host.store.words.save("act", a_word(2))
        for _ in range(1000):
            host.store.words.save("act", a_word(1, label=0))
        host.store.words.save("act", a_word(1, label=1))

        assert [(w.occasion, w.label) for w in host.store.words.all("act")] == [(2, 1), (1, 1)]


def test_one_program_has_few_words_of_a_source(tmp_path: Path) -> None:
    """The newest eight."""
    with opened(tmp_path) as host:
        for occasion in range(1, 101):
            host.store.words.save("act", a_word(occasion, subject=5))

        assert [w.occasion for w in host.store.words.all("act")] == list(range(93, 101))


def test_a_flood_pushes_out_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the loudest source gives up its oldest; what others said before stays."""
    monkeypatch.setattr(words, "WORDS_MAX", 300)
    with opened(tmp_path) as host:
        for occasion in range(1, 51):
            host.store.words.save("act", a_word(occasion, source="quiet"))
        for occasion in range(51, 5051):
            host.store.words.save("act", a_word(occasion, source="loud"))
        host.store.words.prune()
        kept = host.store.words.all("act")

    assert [w.occasion for w in kept if w.source == "quiet"] == list(range(1, 51))
    assert [w.occasion for w in kept if w.source == "loud"] == list(range(4801, 5051))


def test_judgements_of_the_earlier_form_are_taken_along(tmp_path: Path) -> None:
    """Of one source about one decision the newest; what is damaged is left behind."""
    words = [
        Judgement(time_ns=n, decision_id=n // 2, source=JudgementSource.FEEDBACK, limited=True, act_right=bool(n % 2)) for n in range(6)
    ]
    connection = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    migrate(connection, to=JUDGED_ONCE - 1)
    for data in (*map(encode, words), b"\xff{"):
        connection.execute("INSERT INTO judgements (time_ns, judgement) VALUES (1, ?)", (data,))
    connection.close()

    with opened(tmp_path) as host:
        assert host.said == []
        assert host.store.judgements.all() == [words[1], words[3], words[5]]
