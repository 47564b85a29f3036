"""The predictive cache over two months of a host's days, with a real store and a simulated clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest
from brainkernel import metrics
from brainkernel.classify.cachekey import cache_key
from brainkernel.classify.tiers import CacheTier
from brainkernel.config import Llm
from brainkernel.foreseeing import Foreseeing
from brainkernel.metrics import Figures
from brainkernel.model import Category, Suspect, Tier, Verdict
from support.nouns import a_suspect, a_verdict
from support.stores import Opened, a_decision, opened

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000
DAY_S, HOUR_S = 86_400, 3_600
CRON = ("/usr/sbin/cron", "/usr/lib/systemd/systemd")
LLM_VERDICT = a_verdict(category=Category.BACKGROUND, confidence=0.9, tier=Tier.LLM, model="groq/llama")


@dataclass(slots=True)
class Days:
    """A host where an LLM answers at once; every program that starts is looked up, judged and decided about."""

    host: Opened
    config: Llm
    refreshes_arrive: bool = True
    figures: Figures = field(default_factory=Figures)
    asked: list[str] = field(default_factory=list)
    decisions: int = 0
    foreseeing: Foreseeing = field(init=False)
    cache: CacheTier = field(init=False)

    def __post_init__(self) -> None:
        store = self.host.store
        self.cache = CacheTier(store.verdicts, looked_up=lambda key, found: self.foreseeing.looked_up(key, found=found))
        self.foreseeing = Foreseeing(
            clock=self.host.clock, figures=self.figures, config=lambda: self.config, verdicts=store.verdicts, decisions=store.decisions,
            kept=store.foresights, refresh=self._refresh,
        )  # fmt: skip

    def start(self, at_s: int, exe: str) -> Verdict:
        self.advance(at_s)
        suspect = a_suspect(exe, parents=CRON)
        verdict = self.cache.judge(suspect)
        if verdict is None:
            self.asked.append(exe)
            self._keep(suspect)
            verdict = LLM_VERDICT
        self.decisions += 1
        decision = a_decision(self.decisions, suspect=suspect, verdict=verdict)
        self.host.store.decisions.save(decision)
        self.foreseeing.decision(decision)
        return verdict

    def advance(self, to_s: int) -> None:
        while self.host.clock.now_boot_ns < to_s * S:
            self.host.clock.advance_to(min(to_s * S, self.host.clock.now_boot_ns + 60 * S))
            self.foreseeing.tick()

    def lookups(self, result: str) -> float:
        return self.figures.value(metrics.CACHE_LOOKUPS, result)

    def _refresh(self, suspect: Suspect) -> bool:
        self.asked.append(f"refresh {suspect.program.exe}")
        if self.refreshes_arrive:
            self._keep(suspect)
        return True

    def _keep(self, suspect: Suspect) -> None:
        self.cache.keep(suspect, LLM_VERDICT, self.config.cache_days * DAY_S)


def weeks(days: Days, count: int = 30) -> None:
    """Nightly a backup and a minute later what prunes it; each day something that never comes again."""
    for day in range(count):
        base_s = day * DAY_S + 3 * HOUR_S
        days.start(base_s, "/opt/backup")
        days.start(base_s + 60, "/opt/prune")
        days.start(base_s + 9 * HOUR_S, f"/opt/once{day}")


@pytest.mark.parametrize("cache_days", [0.75, 2.5])
def test_likely_programs_are_known_when_they_come(tmp_path: Path, cache_days: float) -> None:
    """Refreshed in time, more lookups are found; the rate without is counted, and is what a run without foresight has."""
    config = Llm(cache_days=cache_days)
    with opened(tmp_path / "with", decisions_max=1000) as host:
        days = Days(host, config)
        weeks(days)
    with opened(tmp_path / "without", decisions_max=1000) as host:
        plain = Days(host, msgspec.structs.replace(config, refreshes_per_hour=0))
        weeks(plain)

    assert plain.lookups("foreseen") == 0
    assert not any(asked.startswith("refresh") for asked in plain.asked)
    assert days.lookups("hit") == plain.lookups("hit")
    assert days.lookups("foreseen") + days.lookups("miss") == plain.lookups("miss")
    assert days.lookups("foreseen") > 0.5 * (plain.lookups("miss") - 30)
    assert days.lookups("miss") < plain.lookups("miss")


def test_refresh_that_never_arrives_is_no_foresight(tmp_path: Path) -> None:
    """The LLM was gone then: what is found later was asked about at the miss, as it would have been without."""
    config = Llm(cache_days=2.5)
    with opened(tmp_path / "with", decisions_max=1000) as host:
        days = Days(host, config, refreshes_arrive=False)
        weeks(days)
    with opened(tmp_path / "without", decisions_max=1000) as host:
        plain = Days(host, msgspec.structs.replace(config, refreshes_per_hour=0))
        weeks(plain)

    assert any(asked.startswith("refresh") for asked in days.asked)
    assert [days.lookups(result) for result in ("foreseen", "hit", "miss")] == [0, plain.lookups("hit"), plain.lookups("miss")]


def test_refreshes_keep_to_their_number(tmp_path: Path) -> None:
    """Forty programs each night and one refresh an hour: no more than asked for."""
    with opened(tmp_path, decisions_max=5000) as host:
        days = Days(host, Llm(cache_days=0.5, refreshes_per_hour=1))
        for day in range(10):
            for number in range(40):
                days.start(day * DAY_S + 3 * HOUR_S + number, f"/opt/job{number}")

        refreshed = sum(asked.startswith("refresh") for asked in days.asked)

    assert 0 < refreshed <= 10 * 24


def test_what_was_learned_outlives_a_restart(tmp_path: Path) -> None:
    """The ninth night is foreseen by a daemon that started on the eighth day; what a bad disk left is learned anew."""
    config = Llm(cache_days=0.5)
    with opened(tmp_path, decisions_max=1000) as host:
        first = Days(host, config)
        weeks(first, 8)
        first.foreseeing.save()
    with opened(tmp_path, decisions_max=1000, at_ns=8 * DAY_S * S) as host:
        second = Days(host, config, decisions=100)
        second.start(8 * DAY_S + 3 * HOUR_S, "/opt/backup")
        found = second.lookups("foreseen")
        host.store.foresights.save(b"\xff not what was written")
        third = Days(host, config, decisions=200)
        third.start(9 * DAY_S + 3 * HOUR_S, "/opt/backup")

    assert found == 1
    assert third.lookups("foreseen") == 0


def test_stored_program_with_a_strange_name_is_not_mistaken(tmp_path: Path) -> None:
    """What is stored is escaped, so its key would be another one: no question is asked about what never ran."""
    strange = "/opt/back\\up"
    with opened(tmp_path, decisions_max=1000) as host:
        days = Days(host, Llm(cache_days=0.5))
        for day in range(8):
            days.start(day * DAY_S + 3 * HOUR_S, strange)

        stored = host.store.decisions.get(1)

    assert stored is not None
    assert cache_key(stored.decision.suspect) != cache_key(a_suspect(strange, parents=CRON))
    assert not any(asked.startswith("refresh") for asked in days.asked)
