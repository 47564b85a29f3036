"""What a person sees of the agent's own figures: golden lines of `trends`, and of the latencies in `status`."""

from __future__ import annotations

from datetime import UTC

from brainkernel.cli import render, trend_lines
from brainkernel.cli.terminal import Style
from brainkernel.link.control import CacheUse, StageLatency
from brainkernel.link.reading import Anomaly, SeriesFigures, SeriesLine, Trend, Trends
from hypothesis import given
from hypothesis import strategies as st

PLAIN = Style(colour=False)
NOON_S = 1_795_089_600


def test_trends_say_what_is_unlike_itself_and_where_it_goes() -> None:
    """One row per figure with its state, then the anomalies."""
    trends = Trends(
        trends=(
            Trend(name="own_memory_bytes", unit="bytes", help="", now=44 << 20, mean=40 << 20, slope_per_h=1 << 20, bound=45 << 20, breach_in_s=3600),
            Trend(name="stability", unit="", help="", now=0.7, mean=0.99, anomalous_since_s=75, bound=0.8, breach_in_s=0),
            Trend(name="llm_mean_ms", unit="ms", help="", bound=2000),
        ),
        anomalies=(Anomaly(name="stability", begun_s=NOON_S, ended_s=NOON_S + 90, text="stability is 0.7, unlike itself"),),
    )  # fmt: skip

    lines = trend_lines.trends_lines(trends, PLAIN, UTC)

    assert lines == [
        "FIGURE                           NOW       USUAL    PER HOUR       BOUND  STATE",
        "own_memory_bytes            44.0 MiB    40.0 MiB    +1.0 MiB    45.0 MiB  crosses its bound in 1 h 0 min if it goes on",
        "stability                        0.7        0.99           -         0.8  unlike itself for 1 min 15 s, beyond its bound",
        "llm_mean_ms                        -           -           -     2000 ms",
        "",
        "anomalies",
        "11-19 12:00:00  stability is 0.7, unlike itself; for 1 min 30 s",
    ]


def test_figures_over_time_are_drawn_with_their_gaps() -> None:
    """A bar per step, from the least to the greatest; nothing measured is said."""
    points = (0.0, None, 7.0, 3.5)
    figures = SeriesFigures(
        start_s=NOON_S,
        step_s=60,
        series={"load": SeriesLine(points, points, points, (60, 0, 60, 60)), "none": SeriesLine((None,), (None,), (None,), (0,))},
    )

    lines = trend_lines.series_lines(figures, 80, PLAIN, UTC)

    assert lines == [
        "load  least 0, mean 3.5, greatest 7, last 3.5",
        "  ▁ █▄",
        "none",
        "  nothing was measured in this time",
        "from 2026-11-19 12:00:00, one value for 1 min 0 s",
    ]  # fmt: skip


@given(st.lists(st.none() | st.floats(-1e30, 1e30), max_size=500), st.integers(8, 200))
def test_graph_fits_whatever_is_drawn(values: list[float | None], columns: int) -> None:
    """Never wider than there is room, and a gap is a gap."""
    drawn = trend_lines.graph(SeriesLine((), tuple(values), (), ()), columns)

    assert len(drawn) <= columns
    assert drawn.strip() == "" or any(value is not None for value in values)


def test_latencies_are_shown_by_stage_tier_and_model() -> None:
    """Those of five minutes; the other windows are for programs."""
    latency = StageLatency(of="stage", name="gate", window="5m", samples=3, mean_ms=1, p50_ms=2, p95_ms=3, p99_ms=4)
    of_tier = StageLatency(of="tier", name="rules", window="5m", samples=1, mean_ms=1, p50_ms=1, p95_ms=1, p99_ms=1)
    of_model = StageLatency(of="backend", name="groq", window="1h", samples=1, mean_ms=1, p50_ms=1, p95_ms=1, p99_ms=1)

    assert render.latency_lines([latency, of_tier, of_model]) == [
        "",
        "last 5 minutes      count    mean ms     p50 ms     p95 ms     p99 ms",
        "gate                    3       1.00       2.00       3.00       4.00",
        "by rules                1       1.00       1.00       1.00       1.00",
    ]
    assert render.latency_lines([of_model]) == []


def test_cache_is_shown_with_foresight_and_without() -> None:
    """Both rates of the same lookups."""
    line = render.cache_line(CacheUse(lookups=200, found=150, foreseen=30, refreshes=34))

    assert line == "cache     75 % of 200 lookups found, 60 % without foresight (34 refreshes)"
