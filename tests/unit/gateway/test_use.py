"""What the gateway says it used, on its way into the daemon's figures over time."""

from __future__ import annotations

from typing import get_args

import pytest
from brainkernel import metrics
from brainkernel.errors import ProtocolError
from brainkernel.gateway.llm.failure import Cause
from brainkernel.gateway.llm.prices import Price
from brainkernel.gateway.use import use_of
from brainkernel.link.claims import claims_of
from brainkernel.link.frames import decode, frame_of
from brainkernel.link.messages import FailureCause, FromGateway, GatewayUse
from brainkernel.metrics import Figures
from brainkernel.monitoring.sources import Sampler

SECOND = 1_000_000_000


def counted(calls: int) -> Figures:
    figures = Figures()
    figures.set(metrics.CPU_SECONDS, 3.5, "gateway")
    figures.set(metrics.RESIDENT_BYTES, 90 << 20, "gateway")
    for backend in ("groq", "ollama"):
        figures.add(metrics.LLM_CALLS, backend, "ok", by=calls)
        figures.add(metrics.LLM_TOKENS, backend, "in", by=100 * calls)
    figures.add(metrics.LLM_FAILURES, "groq", "timeout", by=2)
    figures.add(metrics.LLM_COST, "groq", "m", by=Price(0.05, 0.08).of(1_000_000, 1_000_000))
    return figures


def test_use_becomes_figures_over_time_beside_the_daemons() -> None:
    """Sums over backends; rates from the second message on, and the daemon's own CPU time is not touched."""
    daemons, claims = Figures(), [claims_of(use_of(counted(5)))]
    sampler = Sampler(daemons, lambda: claims[-1])

    first = sampler.sample(0)
    claims.append(claims_of(use_of(counted(25))))
    second = sampler.sample(10 * SECOND)

    assert (first["gateway_memory_bytes"], "llm_calls_per_s.gateway.ok" in first) == (90 << 20, False)
    assert second["llm_calls_per_s.gateway.ok"] == pytest.approx(4)
    assert second["llm_tokens_per_s.gateway.in"] == pytest.approx(400)
    assert second["gateway_cpu_pct"] == 0
    assert daemons.by_labels(metrics.CPU_SECONDS) == {}


def test_use_stands_until_the_gateway_says_more() -> None:
    """It speaks each five seconds and is plotted each second: no second without calls between two with five times as many."""
    claims = [claims_of(use_of(counted(5)))]
    sampler = Sampler(Figures(), lambda: claims[-1])
    sampler.sample(0)
    claims.append(claims_of(use_of(counted(25))))

    rates = [sampler.sample(second * SECOND)["llm_calls_per_s.gateway.ok"] for second in range(5, 10)]
    claims.append(claims_of(use_of(counted(30))))

    assert rates == [pytest.approx(8)] * 5
    assert sampler.sample(10 * SECOND)["llm_calls_per_s.gateway.ok"] == pytest.approx(2)


def test_use_of_a_gateway_that_ran_before_makes_no_spike() -> None:
    """A daemon that starts later does not take a week of calls for those of a second; one that went away has no figure."""
    said: list[GatewayUse | None] = [None]
    sampler = Sampler(Figures(), lambda: claims_of(said[-1]) if said[-1] else None)
    sampler.sample(0)
    said.append(use_of(counted(1_000_000)))

    found = sampler.sample(SECOND)
    said.append(None)
    gone = sampler.sample(2 * SECOND)

    assert [name for name in found if name.startswith("llm_")] == []
    assert "gateway_memory_bytes" not in gone


def test_first_call_of_a_gateway_that_is_known_counts() -> None:
    """It was there a moment ago without any: what it has now is of this moment. Of a newcomer nobody knows."""
    said: list[GatewayUse] = [use_of(Figures())]
    sampler = Sampler(Figures(), lambda: claims_of(said[-1]))
    sampler.sample(0)
    sampler.sample(SECOND)
    said.append(use_of(counted(2)))

    found = sampler.sample(2 * SECOND)

    assert (found["llm_calls_per_s.gateway.ok"], found["llm_tokens_per_s.gateway.in"]) == (4, 400)


def test_use_names_every_cause_there_is_and_no_other() -> None:
    """A gateway that lies cannot fill the store with names of its own."""
    kind: type[FromGateway] = FromGateway  # type: ignore[assignment] # the union as a schema
    honest = frame_of(GatewayUse(cpu_s=1, resident_bytes=1, failures={"timeout": 1}))

    assert isinstance(decode(honest[4:], kind), GatewayUse)
    assert set(get_args(FailureCause)) == {cause.value for cause in Cause}
    with pytest.raises(ProtocolError):
        decode(honest[4:].replace(b"timeout", b"madeup!"), kind)
