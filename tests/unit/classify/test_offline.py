"""Classification of records from a file."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pytest
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.offline import classify_file, suspect_of, tiers_named
from brainkernel.classify.ruleset import RuleSet
from brainkernel.classify.tiers import RulesTier
from brainkernel.errors import UsageError
from brainkernel.model import Category, Suspect, Tier, Verdict
from hypothesis import given
from hypothesis import strategies as st

METADATA_ONLY = [RulesTier(RuleSet([], Knowledge()))]


class Guesses:
    """An LLM that calls everything a service and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def ask(self, suspects: list[Suspect]) -> list[Verdict]:
        self.batches.append([s.program.exe for s in suspects])
        return [Verdict(category=Category.SERVICE, confidence=0.6, tier=Tier.LLM, reason="a guess") for _ in suspects]


def classified(*records: object, asker: Guesses | None = None) -> list[dict[str, Any]]:
    """What comes out for these records."""
    source = io.BytesIO(b"\n".join(orjson.dumps(r) for r in records))
    target = io.BytesIO()
    assert classify_file(source, target, METADATA_ONLY, asker) == len(records)
    return [orjson.loads(line) for line in target.getvalue().splitlines()]


def test_record_becomes_a_verdict() -> None:
    """The interface that other programs rely on."""
    (found,) = classified(
        {"id": "a", "exe": "/usr/bin/mpv", "argv": ["mpv", "x"], "comm": "mpv", "parents": [], "uid": 1000, "cwd": "/", "more": 1}
    )

    assert set(found) == {"id", "category", "confidence", "tier", "reason", "latency_ms"}
    assert (found["id"], found["category"], found["tier"]) == ("a", "interactive", "rules")
    assert found["latency_ms"] >= 0


def test_missing_and_null_fields_are_not_known() -> None:
    """A record may be no more than an id, which may be anything."""
    found = classified({}, {"id": 7}, {"id": None, "exe": None, "argv": None, "parents": None, "uid": None, "cgroup": None})

    assert [(f["id"], f["category"], f["tier"]) for f in found] == [
        (None, "unknown", "none"),
        (7, "unknown", "none"),
        (None, "unknown", "none"),
    ]


def test_llm_is_asked_only_what_is_unknown_and_in_batches() -> None:
    """Known programs cost no token; the order of the lines stays."""
    asker = Guesses()
    records = [{"id": i, "exe": "/usr/bin/mpv" if i % 3 == 0 else f"/opt/x{i}"} for i in range(20)]

    found = classified(*records, asker=asker)

    assert [f["id"] for f in found] == list(range(20))
    assert {f["tier"] for f in found} == {"rules", "llm"}
    assert all(exe.startswith("/opt/") for batch in asker.batches for exe in batch)
    assert max(map(len, asker.batches)) <= 8


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "line 3: not JSON"),
        (b"[]", "line 3: must be an object"),
        (b'{"exe": 3}', "line 3: exe: must be a string"),
        (b'{"argv": "a b"}', "line 3: argv: must be a list of strings"),
        (b'{"parents": [1]}', "line 3: parents: must be a list of strings"),
        (b'{"uid": -1}', "line 3: uid: must be a number"),
        (b'{"uid": true}', "line 3: uid: must be a number"),
        (b"\xff\xfe", "line 3: not JSON"),
    ],
)
def test_line_that_is_no_record_is_named(line: bytes, said: str) -> None:
    """One line says where and what, and nothing is guessed."""
    source = io.BytesIO(b'{"id": 1}\n\n' + line + b"\n")

    with pytest.raises(UsageError) as caught:
        classify_file(source, io.BytesIO(), METADATA_ONLY)

    assert said in str(caught.value)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "exe": st.text(max_size=50),
            "argv": st.lists(st.text(max_size=50), max_size=6),
            "parents": st.lists(st.text(max_size=30), max_size=5),
            "cgroup": st.text(max_size=60),
            "cwd": st.text(max_size=20),
            "uid": st.integers(0, 2**32 - 1),
        },
    )
)
def test_any_record_is_judged(record: dict[str, Any]) -> None:
    """Whatever a process calls itself, there is a verdict and no exception."""
    _, suspect = suspect_of(orjson.dumps(record), 1)

    METADATA_ONLY[0].judge(suspect)


def test_tiers_are_named() -> None:
    """`--tiers rules,cache` is a set; a name that is none is refused."""
    assert tiers_named("rules, llm") == {Tier.RULES, Tier.LLM}
    with pytest.raises(UsageError, match="'rulez' is no tier; there are rules, cache, model, llm"):
        tiers_named("rulez")
