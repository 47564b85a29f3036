"""Pure text for people: status, lists, releases. Every text that a process chose goes through `escape`."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

from brainkernel.cli import terminal
from brainkernel.cli.terminal import fitted
from brainkernel.escape import shown
from brainkernel.model import ReleaseResult

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from brainkernel.cli.terminal import Style
    from brainkernel.link.control import (
        Acting,
        BudgetFigures,
        CacheUse,
        Counts,
        Listing,
        QualityFigure,
        Releases,
        Stability,
        StageFigures,
        StageLatency,
        Status,
    )
    from brainkernel.link.people import AuditLog, Noted, PendingLimits, StrategyState

CATEGORY_COLOURS = {
    "system_critical": "cyan",
    "interactive": "green",
    "bloatware": "yellow",
    "suspicious": "red",
    "unknown": "dim",
}
_WIDE = 100  # columns from which whole limits and reasons fit
_RELEASE_TEXTS = {
    ReleaseResult.RESTORED: "restored",
    ReleaseResult.GONE: "already gone: the process or unit ended, and its limit with it",
    ReleaseResult.FOREIGN: "left alone: somebody else changed the value since, so it is theirs",
    ReleaseResult.FAILED: "FAILED: the limit still stands and is tried again",
}


def clock_time(time_ns: int, zone: tzinfo | None = None) -> str:
    """The time of day of a CLOCK_REALTIME, local unless a zone is given."""
    return datetime.fromtimestamp(time_ns / 1e9, zone).strftime("%H:%M:%S")


def duration(seconds: float) -> str:
    """A length of time as people say it: `3 d 4 h`, `12 min 5 s`, `7.2 s`."""
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} {int(seconds % length // part)} {smaller}"
    return f"{seconds:.1f} s"


def milliseconds(ms: float) -> str:
    """A latency in at most seven columns, with as many digits as tell something."""
    if ms < 1:
        return f"{ms:.2f} ms"
    if ms < 10_000:  # noqa: PLR2004 # four digits
        return f"{ms:.1f} ms" if ms < 100 else f"{ms:.0f} ms"  # noqa: PLR2004 # three digits
    return f"{ms / 1000:.0f} s"


def short_limit(limit: str) -> str:
    """A limit where space is scarce: `w20` for a weight, `20%` for a quota."""
    return limit.replace("cpu_weight=", "w").replace("cpu_quota=", "")


def status_lines(status: Status, style: Style) -> list[str]:
    """The answer of `brainkernel status`."""
    acting = {"observe": "observe: shows what it would do, writes nothing", "enforce": "enforce: limits what hurts others"}
    mode = acting.get(status.mode, status.mode) + (" (PAUSED: `brainkernel resume` to act again)" if status.paused else "")
    llm = " ".join(p for p in (status.llm.backend, status.llm.model) if p)
    rows = [
        ("agent", f"{status.version}, up {duration(status.uptime_s)}, {status.resident_bytes / (1 << 20):.0f} MB"),
        ("mode", mode),
        ("kernel", status.kernel),
        ("loader", f"{status.loader} ({status.loader_reason})" if status.loader_reason else status.loader),
        ("llm", f"{llm} ({status.llm.reason})" if status.llm.reason else llm),
        *([("strategy", strategy_text(status.strategy))] if status.strategy else []),
        *([("exam", status.llm.exam)] if status.llm.exam else []),
        *([("web", status.listening)] if status.listening else []),
    ]
    lines = [f"{style.paint(f'{name:<9}', 'bold')}{shown(text)}" for name, text in rows]
    lines += ["", *count_lines(status.counts)]
    if status.cache and status.cache.lookups:
        lines.append(cache_line(status.cache))
    if status.stages:
        lines += ["", *stage_lines(status.stages)]
    lines += latency_lines(status.latencies)
    lines += budget_lines(status.budgets)
    lines += quality_lines(status.quality, status.stability)
    return lines + [style.paint(f"note: {shown(notice)}", "yellow") for notice in status.notices]


def count_lines(counts: Counts) -> list[str]:
    """What passed, in sentences with figures; nothing lost is said too."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.decisions.items())) or "none"
    suppressed = f", {counts.suppressed} held back by flood control" if counts.suppressed else ""
    return [
        f"execs     {counts.execs_seen} seen: {counts.known} known, {counts.new} new; {counts.events_lost} lost{suppressed}",
        f"suspects  {counts.suspects}, of them {counts.anomalous} anomalous; {counts.llm_calls} LLM calls",
        f"decisions {kinds}",
        f"limits    {counts.active_limits} stand, {counts.limits_applied} set, {counts.limits_released} released",
    ]


def cache_line(cache: CacheUse) -> str:
    """How often an earlier verdict was found, and how often it would have been without asking again in time."""
    found, without = (100 * part / cache.lookups for part in (cache.found, cache.found - cache.foreseen))
    return f"cache     {found:.0f} % of {cache.lookups} lookups found, {without:.0f} % without foresight ({cache.refreshes} refreshes)"


def stage_lines(stages: Iterable[StageFigures]) -> list[str]:
    """One row per stage with its latencies."""
    rows = [f"{s.stage:<16}{s.count:>9}{s.p50_ms:>11.2f}{s.p95_ms:>11.2f}{s.p99_ms:>11.2f}" for s in stages]
    return [f"{'stage':<16}{'count':>9}{'p50 ms':>11}{'p95 ms':>11}{'p99 ms':>11}", *rows]


def latency_lines(latencies: Iterable[StageLatency]) -> list[str]:
    """One row per stage, tier (from the event to the decision) and language model (inference) of the last five minutes."""
    words = {"tier": "by ", "backend": "LLM "}
    rows = [
        f"{words.get(one.of, '') + shown(one.name):<16}{one.samples:>9}{one.mean_ms:>11.2f}{one.p50_ms:>11.2f}{one.p95_ms:>11.2f}{one.p99_ms:>11.2f}"
        for one in latencies
        if one.window == "5m"
    ]
    heads = f"{'last 5 minutes':<16}{'count':>9}{'mean ms':>11}{'p50 ms':>11}{'p95 ms':>11}{'p99 ms':>11}"
    return ["", heads, *rows] if rows else []


def budget_lines(budgets: Iterable[BudgetFigures]) -> list[str]:
    """One row per latency budget that something was measured under."""
    rows = [
        f"{b.name:<20}{b.target_ms:>7.0f}{b.samples:>9}{b.mean_ms:>11.2f}{b.p50_ms:>11.2f}{b.p95_ms:>11.2f}{b.p99_ms:>11.2f}{b.breaches:>10}"
        for b in budgets
        if b.mean_ms is not None
    ]
    heads = f"{'budget (5 min)':<20}{'ms':>7}{'count':>9}{'mean ms':>11}{'p50 ms':>11}{'p95 ms':>11}{'p99 ms':>11}{'breaches':>10}"
    return ["", heads, *rows] if rows else []


def quality_lines(figures: Iterable[QualityFigure], stability: Stability | None) -> list[str]:
    """How well it decides: one row per measure with its 95 % interval, and no rate out of too few samples."""
    rows: dict[str, dict[str, QualityFigure]] = {}
    for figure in figures:
        rows.setdefault(figure.measure, {})[figure.window] = figure
    windows = list(dict.fromkeys(window for row in rows.values() for window in row))
    lines = ["", f"{'quality':<24}{''.join(f'{window:>16}' for window in windows)}"] if rows else []
    for measure, row in rows.items():
        name = measure.replace("_", " ")
        if all(figure.value is None for figure in row.values()):
            most = max(figure.samples for figure in row.values())
            lines.append(f"{name:<24}    not enough data ({most:g} samples)")
        else:
            lines.append(f"{name:<24}{''.join(f'{_rate(row[window]):>16}' for window in windows)}")
    if stability is not None:
        taken = ", ".join(f"{name} {part:.2f}" for name, part in stability.parts.items() if part >= 0.005)  # noqa: PLR2004 # what two digits show
        lines.append(f"{'stability':<24}{stability.index:>16.2f}{f'  lowered by {taken}' if taken else ''}")
    return lines


def _rate(figure: QualityFigure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "-"
    return f"{100 * figure.value:.0f} % ({100 * figure.low:.0f}-{100 * figure.high:.0f})"


def strategy_text(state: StrategyState) -> str:
    """The strategy in force and why, on one line."""
    until = "until `brainkernel strategy auto`" if state.seconds_left is None else f"for {duration(state.seconds_left)} more"
    why = f"forced {until}" if state.forced else state.why
    return (
        f"{state.strategy} ({why}); limits from {state.throttle_threshold:g} sure or what the policy asks for, "
        f"judges again after {state.check_interval_s:g} s"
    )


def pending_lines(pending: PendingLimits) -> list[str]:
    """The limits that wait, each with what speaks for it and the two answers."""
    if not pending.waiting:
        return ["no limit waits for a person"]
    lines = []
    for one in pending.waiting:
        lines.append(f"{one.id:>7} {shown(one.exe)} ({one.pid}): {one.category}, {100 * one.confidence:.0f} % sure; would get {one.limit}")
        lines.append(f"        {shown(one.reason)}")
        lines += [f"        {shown(text)}" for text in one.evidence]
        lines.append(f"        brainkernel approve {one.id} | brainkernel deny {one.id}; no answer in {duration(one.expires_s)} is a no")
    return lines


def audit_lines(log: AuditLog, zone: tzinfo | None = None) -> list[str]:
    """Who did what, newest first."""
    lines = []
    for one in log.entries:
        when = datetime.fromtimestamp(one.time_ns / 1e9, zone).strftime("%Y-%m-%d %H:%M:%S")
        who = "the agent" if one.uid is None else f"uid {one.uid}"
        about = f" decision {one.decision_id}" if one.decision_id is not None else ""
        what = " ".join(part for part in (shown(one.exe), shown(one.script), shown(one.category), shown(one.text)) if part)
        lines.append(f"{when} {who:<10} {shown(one.deed).replace('_', ' ')}{about}{f': {what}' if what else ''}")
    return lines or ["nothing was done yet"]


def noted_line(noted: Noted) -> str:
    """What follows from a person's word."""
    return f"{noted.id:>7} {shown(noted.text)}"


def listing_lines(listing: Listing, width: int, style: Style, zone: tzinfo | None = None) -> list[str]:
    """The answer of `brainkernel list`, one decision per line."""
    if not listing.decisions:
        return ["no decisions"]
    wide = width >= _WIDE
    decision_width = 21 if wide else 12  # "limit* cpu_weight=20", or its beginning
    category_width = 16 if wide else 12
    rest = width - (7 + 8 + 7 + 4 + 5) - decision_width - category_width  # ID, TIME, PID, SURE and the gaps
    program_width = min(44, rest if not wide else rest // 2)
    reason_width = rest - program_width - 1 if wide else 0
    heads = f"{'ID':>7} {'TIME':8} {'PID':>7} {fitted('PROGRAM', program_width)} {'CATEGORY':<{category_width}}"
    lines = [style.paint(f"{heads}SURE {fitted('DECISION', decision_width)}{' REASON' if wide else ''}".rstrip(), "bold")]
    for one in listing.decisions:
        decision = f"{one.decision}{'*' if one.active else ''} {one.limit if wide else short_limit(one.limit)}"
        category = style.paint(fitted(one.category, category_width - 1), CATEGORY_COLOURS.get(one.category, "")) + " "
        line = (
            f"{one.id:>7} {clock_time(one.time_ns, zone)} {one.pid:>7} {fitted(shown(one.exe), program_width, keep_end=True)} "
            f"{category}{one.confidence:>4.2f} {fitted(decision, decision_width)}"
        )
        lines.append(f"{line} {fitted(shown(one.reason), reason_width)}".rstrip() if wide else line.rstrip())
    if any(one.active for one in listing.decisions):
        lines.append("* this limit stands now: `brainkernel undo ID` ends it")
    return lines


def release_lines(releases: Releases) -> list[str]:
    """How each limit ended."""
    if not releases.released:
        return ["no limit stands"]
    return [
        f"{one.id:>7} {shown(one.comm)}: {_RELEASE_TEXTS[one.result]}{f' ({shown(one.text)})' if one.text else ''}"
        for one in releases.released
    ]


def report_releases(releases: Releases, *, as_json: bool) -> int:
    """Print how limits ended; 1 if one of them could not be ended."""
    if as_json:
        terminal.print_json(releases)
    else:
        print("\n".join(release_lines(releases)))
    return int(any(one.result is ReleaseResult.FAILED for one in releases.released))


def report_acting(acting: Acting, *, as_json: bool) -> int:
    """Print whether limits may be set now."""
    if as_json:
        terminal.print_json(acting)
    elif acting.paused:
        print(f"paused: nothing is limited {acting.why or 'until `brainkernel resume`'}")
    else:
        print(f"acting as mode {acting.mode} allows" if acting.mode == "enforce" else "not paused; mode observe limits nothing anyway")
    sys.stdout.flush()
    return 0
