"""Latencies by stage, tier and backend over sliding windows."""

from __future__ import annotations

import pytest
from brainkernel.learn.windows import BACKENDS_MAX, SAMPLES_MAX, Latencies, Latency
from brainkernel.model import Decision, Span, Tier
from support.nouns import a_verdict
from support.stores import a_decision

MS, S = 1_000_000, 1_000_000_000


def decided(total_ms: float, *, tier: Tier = Tier.RULES, model: str = "", **stages_ms: float) -> Decision:
    spans = tuple(Span(stage=stage, ns=int(ms * MS)) for stage, ms in {**stages_ms, "total": total_ms}.items())
    return a_decision(7, verdict=a_verdict(tier=tier, model=model), spans=spans)


def by_name(latencies: Latencies, window: str, now_ns: int) -> dict[tuple[str, str], Latency]:
    return {(one.of, one.name): one for one in latencies.figures(now_ns, (window,))}


def test_latencies_are_told_by_stage_tier_and_backend() -> None:
    """Mean and quantiles of a known distribution, each where it belongs: the LLM's inference alone to its backend."""
    latencies = Latencies()
    for ms in range(1, 101):
        latencies.add(decided(10 * ms, tier=Tier.LLM, model="groq/llama", llm=ms, llm_queue=5), ms * MS)
    latencies.add(decided(2, tier=Tier.RULES, rules=1), 0)
    latencies.acted(30 * MS, 0)

    found = by_name(latencies, "5m", 100 * MS)

    assert set(found) == {
        *(("stage", s) for s in ("llm", "llm_queue", "total", "rules", "act")), ("tier", "llm"), ("tier", "rules"), ("backend", "groq"),
    }  # fmt: skip
    groq, tier = found["backend", "groq"], found["tier", "llm"]
    assert (groq.samples, groq.mean_ms, groq.p50_ms, groq.p95_ms, groq.p99_ms) == (100, 50.5, 51, 96, 100)
    assert (tier.samples, tier.mean_ms, tier.p95_ms) == (100, 505, 960)
    assert found["stage", "total"].samples == 101
    assert found["stage", "act"].mean_ms == 30


def test_a_window_slides() -> None:
    """What is older than a window is not in it, and in none at the end."""
    latencies = Latencies()
    latencies.add(decided(1000), 0)
    latencies.add(decided(10), 200 * S)

    assert by_name(latencies, "1m", 210 * S)["stage", "total"].mean_ms == 10
    assert by_name(latencies, "5m", 210 * S)["stage", "total"].mean_ms == 505
    assert by_name(latencies, "5m", 499 * S)["stage", "total"].mean_ms == 10
    assert latencies.figures(2 * 3600 * S) == ()


def test_latencies_are_bounded() -> None:
    """Of a flood the newest count, and a gateway cannot fill the memory with names of backends."""
    latencies = Latencies()
    for number in range(3 * SAMPLES_MAX):
        latencies.add(decided(number, tier=Tier.LLM, model=f"backend{number}/m", llm=1), 0)

    found = by_name(latencies, "1h", 0)

    assert found["stage", "total"].samples == SAMPLES_MAX
    assert found["stage", "total"].mean_ms == pytest.approx(2.5 * SAMPLES_MAX - 0.5)
    assert sum(of == "backend" for of, _name in found) == BACKENDS_MAX
