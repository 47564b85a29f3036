"""The monitoring pipeline over a simulated clock and a real file: from counters to series, anomalies and trends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from brainkernel import metrics
from brainkernel.clock import SimulatedClock
from brainkernel.measuring import Measuring
from brainkernel.metrics import Figures
from brainkernel.monitoring.hostfigures import HostFigures
from brainkernel.monitoring.sources import LABELLED_MAX, Sampler
from brainkernel.store.series import Series

if TYPE_CHECKING:
    from pathlib import Path

S = 1_000_000_000
WALL_S = 1_795_046_400


@dataclass(slots=True)
class Bench:
    """A measuring with its clock, figures, a /proc of its own, and what it told."""

    root: Path
    clock: SimulatedClock = field(default_factory=lambda: SimulatedClock(offset_to_wall_ns=WALL_S * S))
    figures: Figures = field(default_factory=Figures)
    told: list[tuple[str, str]] = field(default_factory=list)
    measuring: Measuring = field(init=False)

    def __post_init__(self) -> None:
        (self.root / "state").mkdir()
        (self.root / "proc/pressure").mkdir(parents=True)
        self.measuring = Measuring(
            figures=self.figures,
            host=HostFigures(self.root / "proc", self.root / "state", self.figures),
            series=Series(self.root / "state", self.clock, pytest.fail),
            clock=self.clock,
            tell=lambda name, text: self.told.append((name, text)),
        )

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.now_boot_ns += S
            self.measuring.tick()

    def proc(self, name: str, text: str) -> None:
        (self.root / "proc" / name).write_text(text)

    def now_s(self) -> int:
        return self.clock.wall_ns() // S


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_sampler_turns_counters_into_rates_and_keeps_gauges() -> None:
    """A counter that appears or begins anew makes no spike; labels become part of the name, boundedly."""
    figures = Figures()
    sampler = Sampler(figures)
    figures.add(metrics.DECISIONS, "note", by=100)
    figures.set(metrics.STABILITY, 0.75)

    first = sampler.sample(0)
    figures.add(metrics.DECISIONS, "note", by=20)
    figures.add(metrics.DECISIONS, "limit", by=10)
    second = sampler.sample(10 * S)
    figures.set(metrics.DECISIONS, 5, "note")
    third = sampler.sample(11 * S)
    for number in range(100):
        figures.add(metrics.LLM_QUESTIONS, f"fate{number}")
    many = sampler.sample(12 * S)

    assert "decisions_per_s" not in first
    assert first["stability"] == 0.75
    assert (second["decisions_per_s"], second["decisions_per_s.note"], second["decisions_per_s.limit"]) == (3, 2, 1)
    assert third["decisions_per_s.note"] == 0
    assert sum(name.startswith("llm_questions_per_s.") for name in many) == LABELLED_MAX


def test_decision_is_late_by_the_budget_of_the_whole_way_alone() -> None:
    """Neither a slow model within it nor the quantile of a window makes the share of decisions in time smaller."""
    figures = Figures()
    sampler = Sampler(figures)
    sampler.sample(0)
    for labels in (("total", "decision"), ("total", "window"), ("llm_groq", "decision")):
        figures.add(metrics.BUDGET_BREACHES, *labels, by=10)

    found = sampler.sample(10 * S)

    assert (found["decisions_late_per_s"], found["budget_breaches_per_s"]) == (1, 3)


def test_host_figures_are_those_of_proc(bench: Bench) -> None:
    """CPU, memory, load and stalls of one second, from texts as the kernel writes them."""
    bench.proc("stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n")
    bench.proc("meminfo", "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     250 kB\n")
    bench.proc("loadavg", "1.25 0.5 0.25 1/100 4711\n")
    bench.proc("pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nfull avg10=0 avg60=0 avg300=0 total=5\n")
    bench.run(1)
    bench.proc("stat", "cpu  150 0 125 820 5 0 0 0 0 0\ncpu0 1 2 3\n")
    bench.proc("pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1300000\nfull avg10=0 avg60=0 avg300=0 total=5\n")
    bench.run(1)

    found = bench.measuring.figures_of(
        ("host_cpu_pct", "host_memory_available_bytes", "host_load1", "pressure_pct.io", "pressure_pct.cpu"),
        bench.now_s(),
        bench.now_s() + 1,
        0,
    ).series

    assert {name: line.mean[-1] for name, line in found.items()} == {
        "host_cpu_pct": 75,
        "host_memory_available_bytes": 256_000,
        "host_load1": 1.25,
        "pressure_pct.io": 30,
    }


def test_hostile_proc_costs_nothing(bench: Bench) -> None:
    """Files that are cut, empty, binary or missing leave gaps."""
    (bench.root / "proc/stat").write_bytes(b"\xff\xfe")
    bench.proc("meminfo", "MemTotal:")
    bench.proc("loadavg", "")
    bench.proc("pressure/cpu", "some total=")

    bench.run(3)

    assert bench.measuring.figures_of(("stability",), 0, bench.now_s() + 1, 0).series["stability"].mean[-1] == 0


def test_figure_of_ours_that_jumps_is_told_counted_and_kept(bench: Bench) -> None:
    """The daemon's memory doubles: one sentence with both figures; back again: another."""
    bench.figures.set(metrics.RESIDENT_BYTES, 20e6, "daemon")
    bench.run(400)
    bench.figures.set(metrics.RESIDENT_BYTES, 40e6, "daemon")
    bench.run(40)
    during = bench.measuring.trends()
    bench.figures.set(metrics.RESIDENT_BYTES, 20e6, "daemon")
    bench.run(40)
    after = bench.measuring.trends()

    assert [name for name, _text in bench.told] == ["own_memory_bytes"] * 2
    assert "4e+07, unlike itself: it is used to 2.0" in bench.told[0][1]
    assert bench.figures.value(metrics.ANOMALIES, "own_memory_bytes") == 1
    memory = next(t for t in during.trends if t.name == "own_memory_bytes")
    assert memory.anomalous_since_s is not None
    assert 25 <= memory.anomalous_since_s <= 31
    assert after.anomalies[0].ended_s is not None


def test_figure_that_grows_is_forecast_to_cross_its_bound(bench: Bench) -> None:
    """1 MB in five minutes from 20 MB: 45 MiB are crossed in some two hours, and it is said so before."""
    for step in range(12 * 2):
        bench.figures.set(metrics.RESIDENT_BYTES, 20e6 + step * 1e6, "daemon")
        bench.run(300)

    trend = next(t for t in bench.measuring.trends().trends if t.name == "own_memory_bytes")

    left_bytes = (45 << 20) - 43e6
    assert trend.slope_per_h == pytest.approx(12e6, rel=0.05)
    assert trend.breach_in_s == pytest.approx(left_bytes / 12e6 * 3600, rel=0.3)


def test_clock_that_jumps_back_makes_no_negative_rate(bench: Bench) -> None:
    """Rates are measured on boot time; the wall only names the second."""
    bench.figures.add(metrics.DECISIONS, "note", by=1)
    bench.run(5)
    bench.clock.offset_to_wall_ns -= 3600 * S
    bench.figures.add(metrics.DECISIONS, "note", by=7)
    bench.run(1)

    line = bench.measuring.figures_of(("decisions_per_s",), bench.now_s(), bench.now_s() + 1, 0).series["decisions_per_s"]

    assert line.mean == (7,)
