"""Our own figures, each second: collected, aggregated, looked at for what is unlike itself, followed, and kept.

It costs nothing else: whatever the disk does, the series say so and go on.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from brainkernel import metrics
from brainkernel.link.reading import Anomaly, SeriesFigures, SeriesLine, Trend, Trends
from brainkernel.monitoring.anomaly import Usual
from brainkernel.monitoring.sources import SOURCES, Sampler, Source
from brainkernel.monitoring.trend import Slope, slope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from brainkernel.clock import Clock
    from brainkernel.metrics import Figures
    from brainkernel.monitoring.hostfigures import HostFigures
    from brainkernel.store.rollup import Point
    from brainkernel.store.series import Series

NS_PER_S = 1_000_000_000
FOLLOW_EVERY_NS = 60 * NS_PER_S
SIZES_EVERY_NS = 60 * NS_PER_S
FOLLOWED_S, FOLLOWED_STEP_S = 3 * 3600, 300  # a trend is that of the last three hours, in steps of five minutes
ANOMALIES_KEPT = 50
NAMES_AT_ONCE = 32


class Measuring:
    """The monitoring pipeline; `tell` gets the name of a figure of ours that left what it is used to, or is back, and a sentence."""

    def __init__(self, *, figures: Figures, host: HostFigures, series: Series, clock: Clock, tell: Callable[[str, str], None],
        claims: Callable[[], Figures | None] = lambda: None,
    ) -> None:  # fmt: skip
        """`claims`: what the gateway says of itself, while it is there."""
        self._figures = figures
        self._host = host
        self._series = series
        self._clock = clock
        self._tell = tell
        self._sampler = Sampler(figures, claims)
        self._watched = {source.name: source for source in SOURCES if source.watched}
        self._usual = {name: Usual(source.floor) for name, source in self._watched.items()}
        self._slopes: dict[str, Slope] = {}
        self._now: dict[str, float] = {}
        self._begun_s: dict[str, int] = {}
        self._anomalies: deque[Anomaly] = deque(maxlen=ANOMALIES_KEPT)
        self._ticked_ns: int | None = None
        self._follow_ns = self._sizes_ns = clock.boot_ns()

    def tick(self) -> None:
        """Once a second; more often does nothing."""
        now_ns = self._clock.boot_ns()
        if self._ticked_ns is not None and now_ns - self._ticked_ns < NS_PER_S // 2:
            return
        self._ticked_ns = now_ns
        self._host.read(now_ns)
        if now_ns >= self._sizes_ns:
            self._sizes_ns = now_ns + SIZES_EVERY_NS
            self._host.read_sizes()
        self._now = self._sampler.sample(now_ns)
        for name, usual in self._usual.items():
            if (value := self._now.get(name)) is not None and usual.watch(value):
                self._on_anomaly(name, usual, value)
        self._series.append(self._now)
        if now_ns >= self._follow_ns:
            self._follow_ns = now_ns + FOLLOW_EVERY_NS
            self._follow()

    def close(self) -> None:
        """Keep what is not yet on the disk."""
        self._series.close()

    def figures_of(self, names: Sequence[str], from_s: int, to_s: int, step_s: int) -> SeriesFigures:
        """Figures over time; without names, only which there are."""
        excerpt = self._series.read(names[:NAMES_AT_ONCE], from_s, to_s, step_s)
        lines = {name: _line_of(points) for name, points in excerpt.series.items()}
        kept = () if names else tuple(self._series.names())
        return SeriesFigures(start_s=excerpt.start_s, step_s=excerpt.step_s, series=lines, names=kept)

    def trends(self) -> Trends:
        """Every watched figure, and the latest anomalies, newest first."""
        return Trends(
            trends=tuple(self._trend_of(name, source) for name, source in self._watched.items()), anomalies=tuple(self._anomalies)
        )

    def _follow(self) -> None:
        now_s = self._clock.wall_ns() // NS_PER_S
        excerpt = self._series.read(tuple(self._watched), now_s - FOLLOWED_S, now_s, FOLLOWED_STEP_S)
        for name, points in excerpt.series.items():
            source = self._watched[name]
            values = [None if point is None else point.mean for point in points]
            self._slopes[name] = slope_of(values, excerpt.step_s, bound=source.bound, above=source.above)

    def _on_anomaly(self, name: str, usual: Usual, value: float) -> None:
        now_s = self._clock.wall_ns() // NS_PER_S
        if usual.anomalous:
            self._figures.add(metrics.ANOMALIES, name)
            text = f"{name} is {value:.4g}, unlike itself: it is used to {usual.mean:.4g} (deviation {usual.deviation:.2g})"
            self._begun_s[name] = now_s
            self._anomalies.appendleft(Anomaly(name=name, begun_s=now_s, text=text))
        else:
            begun_s = self._begun_s.pop(name)
            text = f"{name} is {value:.4g}, as usual again after {now_s - begun_s} s"
            for place, one in enumerate(self._anomalies):
                if one.name == name and one.begun_s == begun_s:
                    self._anomalies[place] = msgspec.structs.replace(one, ended_s=now_s)
        self._tell(name, text)

    def _trend_of(self, name: str, source: Source) -> Trend:
        usual, slope = self._usual[name], self._slopes.get(name, Slope(None))
        begun_s = self._begun_s.get(name)
        return Trend(
            name=name,
            unit=source.unit,
            help=source.help,
            now=self._now.get(name),
            mean=usual.mean if usual.samples else None,
            deviation=usual.deviation if usual.samples else None,
            anomalous_since_s=None if begun_s is None else max(0.0, self._clock.wall_ns() / NS_PER_S - begun_s),
            slope_per_h=None if slope.per_s is None else slope.per_s * 3600,
            bound=source.bound,
            above=source.above,
            breach_in_s=slope.breach_in_s,
        )


def _line_of(points: Sequence[Point | None]) -> SeriesLine:
    return SeriesLine(
        tuple(None if p is None else p.low for p in points),
        tuple(None if p is None else p.mean for p in points),
        tuple(None if p is None else p.high for p in points),
        tuple(0 if p is None else p.samples for p in points),
    )
