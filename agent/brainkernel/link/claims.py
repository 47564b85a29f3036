"""What the gateway says of itself, as figures apart from the daemon's own: it is believed for a plot, and for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel import metrics

if TYPE_CHECKING:
    from brainkernel.link.messages import GatewayUse

BACKEND = "gateway"  # it says no more than that it was its call


def claims_of(use: GatewayUse) -> metrics.Figures:
    """The figures that a message claims."""
    figures = metrics.Figures()
    figures.set(metrics.CPU_SECONDS, use.cpu_s, "gateway")
    figures.set(metrics.RESIDENT_BYTES, use.resident_bytes, "gateway")
    figures.set(metrics.LLM_COST, use.cost_dollars, BACKEND, "")
    for metric, counts in ((metrics.LLM_CALLS, use.calls), (metrics.LLM_FAILURES, use.failures), (metrics.LLM_TOKENS, use.tokens)):
        for name, count in counts.items():
            figures.set(metric, count, BACKEND, name)
    return figures
