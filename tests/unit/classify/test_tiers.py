"""Who is asked in which order, what is kept, and what a model may not take back."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from brainkernel.classify.cachekey import argv_shape, cache_key
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.ruleset import RuleSet
from brainkernel.classify.tiers import CacheTier, RulesTier, classify, combined
from brainkernel.model import Category, Evidence, FileId, Mark, Suspect, Tier, Verdict
from hypothesis import given
from hypothesis import strategies as st
from support.nouns import a_suspect


class KnownVerdicts:
    """A cache in memory that forgets nothing by itself."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Verdict, float]] = {}

    def get(self, key: str) -> Verdict | None:
        return self.kept[key][0] if key in self.kept else None

    def put(self, key: str, verdict: Verdict, ttl_s: float) -> None:
        self.kept[key] = verdict, ttl_s

    def forget(self, key: str) -> None:
        self.kept.pop(key, None)


class Says:
    """A tier that always says the same; None: it passes."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.tier = Tier.MODEL
        self.verdict = verdict
        self.asked = 0

    def judge(self, suspect: Suspect) -> Verdict | None:
        self.asked += 1
        return self.verdict


def verdict(category: Category = Category.BACKGROUND, tier: Tier = Tier.LLM, **changes: object) -> Verdict:
    """A verdict with one reason."""
    plain = Verdict(category=category, confidence=0.8, tier=tier, reason="because", model="m" if tier is Tier.LLM else "")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kept", "label", "then"),
    [
        (Category.BACKGROUND, Category.INTERACTIVE, Category.INTERACTIVE),
        (None, Category.SERVICE, Category.SERVICE),
        (Category.INTERACTIVE, Category.BACKGROUND, None),
        (Category.BACKGROUND, Category.BACKGROUND, Category.BACKGROUND),
        (None, Category.BLOATWARE, None),
    ],
    ids=["protects at once", "protects the unknown", "drops what it contradicts", "agrees", "does not condemn"],
)
def test_a_persons_word_protects_at_once_and_condemns_nobody(kept: Category | None, label: Category, then: Category | None) -> None:
    """One word may take a limit away, not bring one: for that it is learned from."""
    cache = CacheTier(KnownVerdicts())
    if kept is not None:
        cache.keep(a_suspect(), verdict(kept), 60)

    cache.said(a_suspect(), label, 60)

    found = cache.judge(a_suspect())
    assert (found.category if found else None) is then


def test_a_late_answer_goes_not_over_a_persons_word() -> None:
    """Until that word's time is over."""
    cache = CacheTier(KnownVerdicts())
    cache.said(a_suspect(), Category.INTERACTIVE, 60)

    cache.keep(a_suspect(), verdict(Category.BACKGROUND), 60)

    found = cache.judge(a_suspect())
    assert found is not None
    assert (found.category, found.reason, found.may_act) == (Category.INTERACTIVE, "a person said so", True)


def test_first_tier_that_answers_decides() -> None:
    """Cheaper tiers come first and spare the dearer ones."""
    silent, speaks, later = Says(None), Says(verdict()), Says(verdict(Category.SERVICE))

    found = classify(a_suspect(), [silent, speaks, later])

    assert found.category is Category.BACKGROUND
    assert (silent.asked, speaks.asked, later.asked) == (1, 1, 0)


def test_what_no_tier_knows_is_unknown() -> None:
    """Unknown is left alone."""
    found = classify(a_suspect(), [Says(None), RulesTier(RuleSet([], Knowledge(None)))])

    assert (found.category, found.tier, found.confidence) == (Category.UNKNOWN, Tier.NONE, 0.0)


def test_cache_gives_back_what_was_kept_and_says_so() -> None:
    """The second start of a program costs no question."""
    tier = CacheTier(KnownVerdicts())
    tier.keep(a_suspect(argv=("tool", "2024-03-21")), verdict(may_act=False), 60.0)

    found = tier.judge(a_suspect(argv=("tool", "2024-03-22")))

    assert found is not None
    assert (found.category, found.tier, found.model, found.may_act) == (Category.BACKGROUND, Tier.CACHE, "m", False)


@pytest.mark.parametrize(
    "never",
    [verdict(tier=Tier.RULES), verdict(tier=Tier.CACHE), verdict(Category.UNKNOWN), verdict(pending=True), verdict(tier=Tier.NONE)],
    ids=["rules", "cache", "unknown", "pending", "none"],
)
def test_cache_keeps_only_answers_of_slower_tiers(never: Verdict) -> None:
    """A changed rule must hold at once, and an unknown must be asked again."""
    cache = KnownVerdicts()

    CacheTier(cache).keep(a_suspect(), never, 60.0)

    assert cache.kept == {}


@pytest.mark.parametrize("proposed", list(Category))
def test_suspicion_is_not_taken_back(proposed: Category) -> None:
    """No answer of a model makes an attack harmless."""
    ours = verdict(Category.SUSPICIOUS, Tier.RULES)

    assert combined(ours, verdict(proposed)) is ours
    assert combined(verdict(Category.SUSPICIOUS, Tier.CACHE), verdict(proposed)).category is Category.SUSPICIOUS


def test_rules_stand_against_a_model() -> None:
    """A model fills gaps, it does not overrule."""
    assert combined(verdict(Category.SERVICE, Tier.RULES), verdict(Category.BLOATWARE)).category is Category.SERVICE
    assert combined(Verdict.unknown("?"), verdict(Category.BLOATWARE)).category is Category.BLOATWARE
    assert combined(Verdict.unknown("ours"), Verdict.unknown("theirs")).reason == "ours"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("--pid=4127", "--pid=9"),
        ("backup-2024-03-21.tar", "backup-2025-11-02.tar"),
        ("--since 2024-03-21T10:00:00Z", "--since 2025-01-01T23:59:59Z"),
        ("/tmp/tmpab12cd/x", "/tmp/tmpzz99yy/x"),
        ("--id 3fa85f64-5717-4562-b3fc-2c963f66afa6", "--id 9b2e1c77-0000-4000-8000-0123456789ab"),
        ("commit 1b7361fc9a", "commit 5e3d9f8bb1"),
        ("/proc/812/stat", "/proc/9/stat"),
    ],
)
def test_two_runs_of_one_job_have_one_shape(one: str, other: str) -> None:
    """Pids, dates, ids and temporary names differ between runs and mean nothing."""
    assert argv_shape(("job", one)) == argv_shape(("job", other))


@pytest.mark.parametrize(("one", "other"), [("build", "/var/log/auth.log"), ("-r", "-e"), ("a b", "ab"), ("/tmp/x/a", "/tmp/x/b")])
def test_two_uses_have_two_shapes(one: str, other: str) -> None:
    """A verdict on one use says nothing of another."""
    assert argv_shape(("rm", one)) != argv_shape(("rm", other))


def test_arguments_cannot_be_moved_into_one_another() -> None:
    """`a b` in one argument is another command than `a` and `b`."""
    assert argv_shape(("sh", "a b")) != argv_shape(("sh", "a", "b"))


def changed(**program: object) -> Suspect:
    """The plain suspect with another program."""
    return a_suspect(**program)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        changed(exe="/usr/bin/other"),
        changed(argv=("/usr/bin/tool", "x")),
        changed(uid=0),
        changed(uid=33),
        changed(parents=("/usr/sbin/cron",)),
        a_suspect(evidence=Evidence(marks=frozenset({Mark.DELETED}))),
        dataclasses.replace(a_suspect(), identity=msgspec.structs.replace(a_suspect().identity, file=FileId(1, 2, 3))),
    ],
    ids=["exe", "argv", "root", "system user", "parent", "marks", "file changed"],
)
def test_key_differs_where_the_answer_may(other: Suspect) -> None:
    """Another file, use, kind of user, parent or mark is another question."""
    assert cache_key(other) != cache_key(a_suspect())


def test_key_is_the_same_for_two_users_of_one_kind() -> None:
    """What alice's tool is, bob's is too."""
    assert cache_key(changed(uid=1000)) == cache_key(changed(uid=1001))


@given(st.lists(st.text(max_size=60), max_size=80))
def test_any_argv_has_a_key(argv: list[str]) -> None:
    """Hostile arguments make a key of the same length."""
    assert len(cache_key(changed(argv=tuple(argv)))) == 40
