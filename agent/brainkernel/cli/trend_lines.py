"""The text of `brainkernel trends`. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from brainkernel.cli.render import duration
from brainkernel.escape import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from brainkernel.cli.terminal import Style
    from brainkernel.link.reading import SeriesFigures, SeriesLine, Trend, Trends

_BARS = "▁▂▃▄▅▆▇█"
_MEBIBYTE = 1 << 20
_NAME, _VALUE = 24, 12
_GRAPH_MAX = 72


def trends_lines(trends: Trends, style: Style, zone: tzinfo | None = None) -> list[str]:
    """One row per watched figure, then the latest anomalies."""
    lines = [
        style.paint(f"{'FIGURE':<{_NAME}}{'NOW':>{_VALUE}}{'USUAL':>{_VALUE}}{'PER HOUR':>{_VALUE}}{'BOUND':>{_VALUE}}  STATE", "bold")
    ]
    for one in trends.trends:
        row = f"{one.name:<{_NAME}}{value_text(one.now, one.unit):>{_VALUE}}{value_text(one.mean, one.unit):>{_VALUE}}"
        slope = value_text(one.slope_per_h, one.unit, signed=True) if one.slope_per_h is not None else "-"
        lines.append(f"{row}{slope:>{_VALUE}}{value_text(one.bound, one.unit):>{_VALUE}}  {_state(one, style)}".rstrip())
    if trends.anomalies:
        lines += ["", style.paint("anomalies", "bold")]
    for anomaly in trends.anomalies:
        begun = datetime.fromtimestamp(anomaly.begun_s, zone).strftime("%m-%d %H:%M:%S")
        length = f"for {duration(anomaly.ended_s - anomaly.begun_s)}" if anomaly.ended_s is not None else "still"
        lines.append(f"{begun}  {shown(anomaly.text)}; {length}")
    return lines


def series_lines(figures: SeriesFigures, width: int, style: Style, zone: tzinfo | None = None) -> list[str]:
    """One graph per figure, from its least to its greatest value."""
    lines = []
    for name, line in figures.series.items():
        values = [value for value in line.mean if value is not None]
        if not values:
            lines += [style.paint(name, "cyan"), "  nothing was measured in this time"]
            continue
        low, high = min(v for v in line.low if v is not None), max(v for v in line.high if v is not None)
        mean = sum(values) / len(values)
        lines.append(f"{style.paint(name, 'cyan')}  least {low:.4g}, mean {mean:.4g}, greatest {high:.4g}, last {values[-1]:.4g}")
        lines.append(f"  {graph(line, max(8, min(_GRAPH_MAX, width - 4)))}")
    begin = datetime.fromtimestamp(figures.start_s, zone).strftime("%Y-%m-%d %H:%M:%S")
    return [*lines, f"from {begin}, one value for {duration(figures.step_s)}"]


def graph(line: SeriesLine, columns: int) -> str:
    """The means as a row of bars, at most `columns` of them; a gap is a space."""
    per_bar = max(1, -(-len(line.mean) // columns))
    means = [_mean(line.mean[begin : begin + per_bar]) for begin in range(0, len(line.mean), per_bar)]
    known = [mean for mean in means if mean is not None]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    return "".join(" " if mean is None else _BARS[int((mean - low) / span * (len(_BARS) - 1)) if span else 0] for mean in means)


def value_text(value: float | None, unit: str, *, signed: bool = False) -> str:
    """A figure with its unit, bytes in MiB."""
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if unit == "bytes":
        return f"{value / _MEBIBYTE:{sign}.1f} MiB"
    return f"{value:{sign}.4g}{f' {unit}' if unit else ''}"


def _state(one: Trend, style: Style) -> str:
    states = []
    if one.anomalous_since_s is not None:
        states.append(style.paint(f"unlike itself for {duration(one.anomalous_since_s)}", "yellow"))
    if one.breach_in_s == 0:
        states.append(style.paint("beyond its bound", "red"))
    elif one.breach_in_s is not None:
        states.append(style.paint(f"crosses its bound in {duration(one.breach_in_s)} if it goes on", "yellow"))
    return ", ".join(states)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
