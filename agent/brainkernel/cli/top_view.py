"""The lines of `brainkernel top`: pure, for any width from 80 columns, without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli.render import milliseconds, short_limit
from brainkernel.cli.terminal import fitted
from brainkernel.escape import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from brainkernel.link.control import ProcessRow, ProcessRows
    from brainkernel.model import DecisionRecord, Span

ORDERS = ("cpu", "wait", "category", "pid")
_WIDE = 110  # from here effects have room
_CATEGORY, _TIER, _LIMIT = 15, 6, 9


def chosen(rows: Iterable[ProcessRow], text: str, order: str) -> list[ProcessRow]:
    """Those that match a filter (part of name, path, category or tier, or a pid), in this order."""
    text = text.lower()
    found = [row for row in rows if not text or text in f"{row.comm} {row.exe} {row.category} {row.tier}".lower() or text == str(row.pid)]
    keys = {
        "cpu": lambda row: (-row.cpu_pct, -row.wait_pct, row.pid),
        "wait": lambda row: (-row.wait_pct, -row.cpu_pct, row.pid),
        "category": lambda row: (row.category or "~", -row.cpu_pct, row.pid),
        "pid": lambda row: row.pid,
    }
    return sorted(found, key=keys[order])


def summary(rows: ProcessRows, width: int, text: str = "", order: str = "cpu") -> str:
    """One line above the table."""
    limits = sum(1 for row in rows.rows if row.limit)
    mode = "PAUSED" if rows.paused else rows.mode or "starting"
    filtered = f" | filter: {text}" if text else ""
    line = f"{mode} | {rows.total} processes | {limits} limited | host waits {rows.pressure_pct:.0f} % | by {order}{filtered}"
    return fitted(shown(line), width).rstrip()


def header(width: int) -> str:
    """The heads of the columns."""
    name, effect = _widths(width)
    heads = (
        f"{'PID':>7} {fitted('NAME', name)} {'CPU%':>5} {'WAIT%':>5} {'CATEGORY':<{_CATEGORY}} {'TIER':<{_TIER}} SURE {'LIMIT':<{_LIMIT}}"
    )
    return (f"{heads} {fitted('EFFECT', effect)}" if effect else heads).rstrip()


def line(row: ProcessRow, width: int) -> str:
    """One process."""
    name, effect = _widths(width)
    sure = f"{100 * row.confidence:>3.0f}%" if row.category else "   -"
    text = (
        f"{row.pid:>7} {fitted(shown(row.exe if effect and row.exe else row.comm), name, keep_end=bool(effect))} "
        f"{row.cpu_pct:>5.0f} {row.wait_pct:>5.0f} {fitted(row.category or '-', _CATEGORY)} {fitted(row.tier or '-', _TIER)} {sure} "
        f"{fitted(short_limit(row.limit) or '-', _LIMIT)}"
    )
    return (f"{text} {fitted(shown(row.effect), effect)}" if effect else text).rstrip()


def why(row: ProcessRow | None, record: DecisionRecord | None) -> list[str]:
    """What the pane says of the chosen process."""
    if row is None:
        return ["no process is chosen"]
    lines = [shown(f"{row.comm} ({row.pid}), uid {row.uid}: {row.exe or 'path not known'}")]
    if not row.decision_id:
        return [*lines, "nobody judged it: it ran before the agent, or does as always"]
    if record is None:
        return [*lines, f"decision {row.decision_id} ..."]
    decision = record.decision
    lines.append(shown(f"{decision.verdict.category.value}, {100 * decision.verdict.confidence:.0f} % sure: {decision.verdict.reason}"))
    lines.append(shown(f"decision {decision.id}: {decision.kind.value}: {decision.reason}"))
    if decision.symptom is not None and decision.symptom.text not in decision.reason:
        lines.append(shown(decision.symptom.text))
    if row.limit:
        lines.append(shown(f"limited: {row.limit}; {row.effect or 'its effect is being measured'}; u undoes it"))
    if decision.spans:
        lines.append(f"trace: {trace_line(decision.spans)}")
    return lines


def trace_line(spans: Iterable[Span]) -> str:
    """The stages that a decision went through, with their times; `explain` has them as a waterfall."""
    return " > ".join(f"{span.stage} {milliseconds(span.ns / 1e6)}" for span in spans)


def _widths(width: int) -> tuple[int, int]:
    # Of the name and of the effect; the other columns take what they need.
    rest = width - (7 + 1 + 1 + 5 + 1 + 5 + 1 + _CATEGORY + 1 + _TIER + 1 + 4 + 1 + _LIMIT)
    if width < _WIDE:
        return max(8, rest), 0
    name = max(20, rest // 2)
    return name, rest - name - 1
