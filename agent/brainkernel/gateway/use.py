"""What the gateway used since its start, for the daemon to keep over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from brainkernel import metrics
from brainkernel.link.messages import GatewayUse

if TYPE_CHECKING:
    from brainkernel.metrics import Figures, Metric


def use_of(figures: Figures) -> GatewayUse:
    """Sum the figures over all backends."""
    return GatewayUse(
        cpu_s=figures.value(metrics.CPU_SECONDS, "gateway"),
        resident_bytes=int(figures.value(metrics.RESIDENT_BYTES, "gateway")),
        calls=_by_second_label(figures, metrics.LLM_CALLS),
        failures=_by_second_label(figures, metrics.LLM_FAILURES),
        tokens=_by_second_label(figures, metrics.LLM_TOKENS),
        cost_dollars=sum(figures.by_labels(metrics.LLM_COST).values()),
    )


def _by_second_label(figures: Figures, metric: Metric) -> dict[Any, int]:
    sums: dict[str, int] = {}
    for (_backend, name), value in figures.by_labels(metric).items():
        sums[name] = sums.get(name, 0) + int(value)
    return sums
