"""Decisions against their latency budgets."""

from __future__ import annotations

import pytest
from brainkernel.learn.latency import BUDGETS, WINDOW_NS, LatencyMonitor, Use
from brainkernel.model import Decision, Span, Tier
from support.nouns import a_verdict
from support.stores import a_decision

MS = 1_000_000


def decided_in(total_ms: float, *, tier: Tier = Tier.RULES, model: str = "", llm_ms: float | None = None) -> Decision:
    spans = [Span(stage="total", ns=int(total_ms * MS))]
    if llm_ms is not None:
        spans.insert(0, Span(stage="llm", ns=int(llm_ms * MS)))
    return a_decision(7, verdict=a_verdict(tier=tier, model=model), spans=tuple(spans))


def use_of(monitor: LatencyMonitor, name: str, now_ns: int = 0) -> Use:
    return next(use for use in monitor.uses(now_ns) if use.budget.name == name)


def test_budgets_are_those_of_the_design() -> None:
    """Groq 500 ms, Ollama 2000 ms, total 3000 ms, 5 ms without an LLM."""
    targets = {budget.name: (budget.target_ms, budget.allowed_ms) for budget in BUDGETS}

    wanted = {"llm_groq": (500, 750), "llm_ollama": (2000, 3000), "total": (3000, 4500), "total_without_llm": (5, 5)}

    assert wanted.items() <= targets.items()


@pytest.mark.parametrize(
    ("decision", "broken"),
    [
        (decided_in(800, tier=Tier.LLM, model="groq/llama", llm_ms=600), ["llm_groq"]),
        (decided_in(800, tier=Tier.LLM, model="ollama/qwen", llm_ms=600), []),
        (decided_in(3100, tier=Tier.LLM, model="ollama/qwen", llm_ms=2100), ["llm_ollama", "total"]),
        (decided_in(3100, tier=Tier.NONE), ["total"]),
        (decided_in(40), []),
    ],
    ids=["groq", "ollama", "both", "unanswered", "rules"],
)
def test_one_slow_decision_breaks_its_budgets(decision: Decision, broken: list[str]) -> None:
    """Each backend has its own; what has only a quantile is not broken by one."""
    breaches = LatencyMonitor().add(decision, 0)

    assert [breach.budget for breach in breaches] == broken
    assert all(breach.decision_id == 7 for breach in breaches)


def test_a_slow_window_is_told_once_until_it_was_fast_again() -> None:
    """Not every ten seconds anew."""
    monitor = LatencyMonitor()
    for _ in range(30):
        monitor.add(decided_in(8), 0)

    first, again = monitor.check(0), monitor.check(1)
    after = monitor.check(2 * WINDOW_NS)
    for _ in range(30):
        monitor.add(decided_in(8), 2 * WINDOW_NS)
    anew = monitor.check(2 * WINDOW_NS)

    assert [breach.budget for breach in first] == ["total_without_llm"]
    assert "p99 of the last 30 is 8.0 ms, 5 ms is allowed" in first[0].text
    assert (again, after) == ([], [])
    assert len(anew) == 1
    assert use_of(monitor, "total_without_llm", 2 * WINDOW_NS).breaches == 2


def test_a_quantile_may_take_half_as_much_again_as_its_target() -> None:
    """p95 within 1.5 x target: 30 at 4400 ms of 3000 are breaches by themselves and none of the window; with one in ten at 4600 ms it is."""
    kept, broken = LatencyMonitor(), LatencyMonitor()
    for number in range(30):
        kept.add(decided_in(4400, tier=Tier.NONE), 0)
        broken.add(decided_in(4600 if number % 10 == 0 else 100, tier=Tier.NONE), 0)

    assert kept.check(0) == []
    assert [(breach.budget, breach.by_window, breach.ms, breach.allowed_ms) for breach in broken.check(0)] == [("total", True, 4600, 4500)]


def test_a_few_slow_decisions_are_no_window() -> None:
    """The 95th percentile of five is just the slowest."""
    monitor = LatencyMonitor()
    for _ in range(5):
        monitor.add(decided_in(8), 0)

    assert monitor.check(0) == []


def test_figures_are_those_of_the_window() -> None:
    """1 to 100 ms: mean 50.5, nearest-rank quantiles; all gone five minutes later."""
    monitor = LatencyMonitor()
    for ms in range(1, 101):
        monitor.add(decided_in(ms), 0)

    use, later = use_of(monitor, "total"), use_of(monitor, "total", WINDOW_NS + 1)

    assert (use.samples, use.mean_ms, use.p50_ms, use.p95_ms, use.p99_ms) == (100, 50.5, 51, 96, 100)
    assert (later.samples, later.mean_ms) == (0, None)


def test_mean_out_of_too_few_is_none() -> None:
    """A strategy is not switched because of three slow decisions."""
    monitor = LatencyMonitor()
    for _ in range(9):
        monitor.add(decided_in(4000), 0)

    assert monitor.mean_ms("total", 0) is None
    monitor.add(decided_in(4000), 0)
    assert monitor.mean_ms("total", 0) == 4000
