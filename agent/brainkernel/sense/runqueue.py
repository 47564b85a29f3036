"""Run-queue wait of the host as quantiles, from the kernel's histogram. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Histogram = tuple[int, ...]  # slot i counts waits of [2^i, 2^(i+1)) ns; slot 0 also those of 0 ns


def quantile_us(counts: Sequence[int], quantile: float) -> float | None:
    """One quantile in microseconds, spread evenly within its slot; so it is off by less than a factor of two."""
    total = sum(counts)
    if total == 0:
        return None
    rank = quantile * total
    below = 0
    for slot, count in enumerate(counts):
        if count and below + count >= rank:
            low = float(1 << slot) if slot else 0.0
            return (low + ((1 << (slot + 1)) - low) * (rank - below) / count) / 1000
        below += count
    return float(1 << len(counts)) / 1000  # only for a quantile above 1


def median_and_p99_us(counts: Sequence[int]) -> tuple[float, float] | None:
    """Both quantiles of these counts in microseconds; None if nothing was counted."""
    p50_us, p99_us = quantile_us(counts, 0.5), quantile_us(counts, 0.99)
    return None if p50_us is None or p99_us is None else (p50_us, p99_us)
