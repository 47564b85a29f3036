"""The distribution of decision times over any time: out of a histogram's buckets, kept and rolled up like all other figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel import metrics
from brainkernel.clock import SimulatedClock
from brainkernel.metrics import LATENCY_BUCKETS_S, Figures
from brainkernel.monitoring.sources import BUCKETS_MS, Sampler
from brainkernel.store.series import NS_PER_S, Series

if TYPE_CHECKING:
    from pathlib import Path

MIDNIGHT_S = 1_795_046_400
TIMES = [f"decision_times.{bound}" for bound in BUCKETS_MS]


def counted(series: Series, from_s: int, to_s: int, step_s: int) -> dict[str, float]:
    """How many there were of each, as whoever reads the figures works it out."""
    excerpt = series.read(TIMES, from_s, to_s, step_s)
    return {name: sum(p.mean * p.samples for p in points if p) for name, points in excerpt.series.items()}


def test_every_bucket_is_one_figure_over_all_labels() -> None:
    """How many more than the last time, whoever decided; the first look tells those since the start of the process."""
    figures = Figures()
    sampler = Sampler(figures)
    figures.observe(metrics.DECISION_SECONDS, 0.003, "rules")

    first = sampler.sample(0)
    figures.observe(metrics.DECISION_SECONDS, 0.003, "rules")
    figures.observe(metrics.DECISION_SECONDS, 0.004, "cache")
    figures.observe(metrics.DECISION_SECONDS, 60.0, "llm")
    second = sampler.sample(7 * NS_PER_S)

    assert {name: first[name] for name in TIMES if first[name]} == {"decision_times.5": 1}
    assert {name: second[name] for name in TIMES if second[name]} == {"decision_times.5": 2, "decision_times.inf": 1}
    assert len(TIMES) == len(LATENCY_BUCKETS_S) + 1


def test_distribution_is_exact_over_every_resolution(tmp_path: Path) -> None:
    """Seconds, minutes and hours, with late ticks and a time in which nothing ran: the counts are those that were decided then."""
    clock = SimulatedClock(offset_to_wall_ns=MIDNIGHT_S * NS_PER_S)
    figures, series = Figures(), Series(tmp_path, clock, pytest.fail)
    sampler = Sampler(figures)
    decided: list[tuple[int, str]] = []
    for second in [*range(0, 5_000, 1), *range(9_000, 14_000, 3)]:
        clock.advance_to(second * NS_PER_S)
        if second % 7 == 0 and second:
            slow = second > 10_000
            figures.observe(metrics.DECISION_SECONDS, 1.5 if slow else 0.02, "rules")
            decided.append((second, "decision_times.2000" if slow else "decision_times.25"))
        series.append(sampler.sample(clock.boot_ns()))

    for from_s, to_s, step_s in ((13_000, 13_900, 1), (7_200, 14_040, 60), (0, 14_400, 3600), (3600, 10_800, 3600)):
        found = counted(series, MIDNIGHT_S + from_s, MIDNIGHT_S + to_s, step_s)
        truth = [name for second, name in decided if from_s <= second < to_s]

        assert found == {name: pytest.approx(truth.count(name), rel=1e-4) for name in TIMES}
    series.close()
