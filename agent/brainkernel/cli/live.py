"""What `brainkernel run` shows while it runs: a line per decision, or a JSON object. Pure: values in, text out.

A decision comes fresh from the pipeline here, so its text is still what the process chose: all of it is escaped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from brainkernel.cli.render import CATEGORY_COLOURS, clock_time, count_lines, duration, milliseconds, short_limit, stage_lines
from brainkernel.cli.terminal import fitted
from brainkernel.escape import escaped, escaped_all, shown
from brainkernel.model import Action, Category, Decision, DecisionKind, Exec, Exit, Fork, Outcome, ProcessEvent, ReleaseResult

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from brainkernel.cli.terminal import Style
    from brainkernel.host import HostFacts
    from brainkernel.learn.latency import Breach
    from brainkernel.link.control import Summary
    from brainkernel.model import Span

_DECISION_COLOURS = {
    DecisionKind.LIMIT: "yellow",
    DecisionKind.PENDING: "magenta",
    DecisionKind.REFUSED: "cyan",
    DecisionKind.NOTE: "",
    DecisionKind.LEAVE: "",
}
_JSON_ARGS_MAX = 64
_TIME, _PID, _TIER, _SURE, _LATENCY = 8, 7, 5, 4, 7  # columns; a pid has up to seven digits (PID_MAX_LIMIT)


class _Columns(NamedTuple):
    # Widths of what adapts to the terminal.
    program: int
    parent: int
    category: int
    decision: int
    reason: int  # 0: not shown


def _columns_for(width: int) -> _Columns:
    category = 15 if width >= 100 else 11  # noqa: PLR2004 # "system_critical", or all others
    free = width - (_TIME + _PID + _TIER + _SURE + _LATENCY + category + 8)  # 8 gaps
    decision = min(25, 9 + max(0, free - 30) // 2)  # "would limit cpu_weight=20"
    rest = free - decision
    program, parent = min(40, rest * 3 // 5), min(24, rest - rest * 3 // 5)
    reason = rest - program - parent - 1
    if reason < 20:  # noqa: PLR2004 # less than this of a sentence tells nothing
        return _Columns(rest * 3 // 5, rest - rest * 3 // 5, category, decision, 0)
    return _Columns(program, parent, category, decision, reason)


class LiveTable:
    """Aligned lines for a terminal of `width` columns, at least 80."""

    def __init__(self, width: int, style: Style, zone: tzinfo | None = None) -> None:
        self._columns = _columns_for(max(80, width))
        self._style = style
        self._zone = zone

    def header(self) -> str:
        """The names of the columns."""
        c = self._columns
        cells = [
            f"{'TIME':<{_TIME}} {'PID':>{_PID}} {'PROGRAM':<{c.program}} {'PARENT':<{c.parent}} {'CATEGORY':<{c.category}} ",
            f"{'TIER':<{_TIER}} {'SURE':>{_SURE}} {'DECISION':<{c.decision}} {'LATENCY':>{_LATENCY}}{' REASON' if c.reason else ''}",
        ]
        return self._style.paint("".join(cells), "bold")

    def line(self, decision: Decision) -> str:
        """One decision."""
        c, paint = self._columns, self._style.paint
        program, verdict = decision.suspect.program, decision.verdict
        sure = "-" if verdict.category is Category.UNKNOWN else f"{100 * verdict.confidence:.0f}%"
        latency = milliseconds(total_ns_of(decision.spans) / 1e6)
        line = " ".join(
            [
                clock_time(decision.time_ns, self._zone),
                f"{decision.suspect.key.tgid:>{_PID}}",
                _path(program.exe or program.comm, c.program),
                _path(_parent_of(decision), c.parent),
                paint(fitted(verdict.category.value, c.category), CATEGORY_COLOURS.get(verdict.category, "")),
                fitted(verdict.tier.value, _TIER),
                f"{sure:>{_SURE}}",
                paint(fitted(decided(decision, c.decision), c.decision), _DECISION_COLOURS[decision.kind]),
                f"{latency:>{_LATENCY}}",
            ]
        )
        return f"{line} {fitted(escaped(decision.reason), c.reason)}".rstrip() if c.reason else line

    def known_line(self, event: Exec, wall_ns: int) -> str:
        """One program start that the gate stopped."""
        c = self._columns
        cells = [clock_time(wall_ns, self._zone), f"{event.key.tgid:>{_PID}}", _path(event.exe or event.comm, c.program)]
        return self._style.paint(" ".join([*cells, _path(event.parent_exe, c.parent), "(known)"]), "dim")


# A column too narrow for most paths shows names, which tell more than the ends of cut paths.
def _path(path: str, width: int) -> str:
    text = path if width >= 24 else PurePath(path).name or path  # noqa: PLR2004 # "/usr/lib/systemd/systemd"
    return fitted(escaped(text), width, keep_end=True)


def _parent_of(decision: Decision) -> str:
    return next(iter(decision.suspect.program.parents), "") or decision.suspect.identity.parent_exe


def decided(decision: Decision, width: int) -> str:
    """A decision in a few words, or in fewer where these do not fit into `width` columns."""
    if decision.kind is DecisionKind.LIMIT:
        text = f"{'limit' if decision.acts else 'would limit'} {decision.limit}"
        return text if len(text) <= width else short_limit(f"{'limit' if decision.acts else 'would'} {decision.limit}")
    if decision.kind is DecisionKind.PENDING:
        text = f"pending {decision.limit}"
        return text if len(text) <= width else short_limit(text)
    if decision.kind is DecisionKind.REFUSED and decision.refusals:
        text = f"refused {decision.refusals[0].rule}"
        return text if len(text) <= width else "refused"
    return decision.kind.value


def total_ns_of(spans: Iterable[Span]) -> int:
    """From the kernel's event to the decision; the sum of the stages where that was not measured."""
    times = {s.stage: s.ns for s in spans}
    return times.get("total", sum(times.values()))


def event_object(event: ProcessEvent) -> dict[str, Any]:
    """One kernel event for `--json --all-events`."""
    kinds = {Exec: "exec", Exit: "exit", Fork: "fork"}
    thing: dict[str, Any] = {"type": "event", "kind": kinds.get(type(event), "suppressed"), "time_ns": event.time_ns}
    if isinstance(event, Exec | Exit | Fork):
        thing |= {"pid": event.key.tgid, "start_ns": event.key.start_ns}
    if isinstance(event, Exec):
        argv = [escaped(argument) for argument in _argv(event.argv)]
        thing |= {"exe": escaped(event.exe), "argv": argv, "parent": escaped(event.parent_exe), "uid": event.uid}
    elif isinstance(event, Fork):
        thing["ppid"] = event.parent.tgid
    elif isinstance(event, Exit):
        thing["exit_code"] = event.exit_code
        if event.cpu_ns is not None:
            thing |= {"cpu_ns": event.cpu_ns, "run_delay_ns": event.run_delay_ns, "max_rss_bytes": event.max_rss_bytes}
    else:
        thing |= {"cgroup_id": event.cgroup_id, "count": event.count}
    return thing


def decision_object(decision: Decision) -> dict[str, Any]:
    """One decision for `--json`, its stages' times in milliseconds."""
    suspect, verdict = decision.suspect, decision.verdict
    return _safe(
        {
            "type": "decision",
            "id": decision.id,
            "time": _iso(decision.time_ns),
            "pid": suspect.key.tgid,
            "start_ns": suspect.key.start_ns,
            "exe": suspect.program.exe,
            "argv": _argv(suspect.program.argv),
            "parent": _parent_of(decision),
            "uid": suspect.program.uid,
            "suspect": [{"code": r.code.value, "text": r.text} for r in suspect.reasons],
            "category": verdict.category.value,
            "tier": verdict.tier.value,
            "confidence": verdict.confidence,
            "verdict_reason": verdict.reason,
            "decision": decision.kind.value,
            "reason": decision.reason,
            "limit": str(decision.limit) if decision.limit else None,
            "acts": decision.acts,
            "refusals": [{"rule": r.rule, "reason": r.reason} for r in decision.refusals],
            "symptom": decision.symptom.text if decision.symptom else None,
            "latency_ms": round(total_ns_of(decision.spans) / 1e6, 4),
            "stages": {s.stage: round(s.ns / 1e6, 4) for s in decision.spans},
        }
    )


def action_object(action: Action) -> dict[str, Any]:
    """One limit that was set, for `--json`."""
    return _safe(
        {
            "type": "action",
            "id": action.id,
            "pid": action.target.tgid,
            "start_ns": action.target.start_ns,
            "comm": action.comm,
            "route": action.route.value,
            "unit": action.unit,
            "cgroup": action.cgroup,
            "limit": str(action.limit),
            "changes": [{"name": c.name, "before": c.before, "after": c.after} for c in action.changes],
        }
    )


def release_object(action_id: int, result: ReleaseResult, why: str = "") -> dict[str, Any]:
    """The end of one limit, for `--json`."""
    return _safe({"type": "release", "id": action_id, "result": result.value, "reason": why})


def outcome_object(outcome: Outcome) -> dict[str, Any]:
    """What one limit achieved, for `--json`."""
    figures: dict[str, Any] = msgspec.to_builtins(outcome)
    return _safe({"type": "outcome", "id": figures.pop("action_id"), "text": outcome.text, **figures})


def breach_object(breach: Breach) -> dict[str, Any]:
    """A latency budget that was not kept, with the trace of the decision, for `--json`."""
    trace = {span.stage: round(span.ns / 1e6, 4) for span in breach.trace}
    figures = {"ms": round(breach.ms, 4), "allowed_ms": breach.allowed_ms, "by": "window" if breach.by_window else "decision"}
    return {"type": "budget_breach", "budget": breach.budget, "id": breach.decision_id, **figures, "text": breach.text, "trace": trace}


def summary_object(summary: Summary) -> dict[str, Any]:
    """The end of a run, for `--json`."""
    return _safe({"type": "summary", **msgspec.to_builtins(summary)})


def banner_lines(facts: HostFacts, mode: str) -> list[str]:
    """What this host can do, before the first event."""
    systemd = "systemd not running" if facts.systemd_version is None else f"systemd {facts.systemd_version}"
    ways = "by cgroups and tasks of our own" if facts.systemd_version is None else "through systemd"
    rows = [
        ("host", f"{facts.distribution}, kernel {facts.kernel} {facts.machine}, {systemd}"),
        ("bpf", f"not usable: {facts.why_no_bpf}" if facts.why_no_bpf else "usable, BTF is there"),
        ("limits", f"not possible: {facts.why_no_limits}" if facts.why_no_limits else f"possible: cgroup v2 {ways}"),
        ("psi", "is there" if facts.psi else "missing: boot with psi=1, else nobody's waiting is seen and nothing is limited"),
        ("mode", "enforce: limits what hurts others" if mode == "enforce" else "observe: shows what it would do, writes nothing"),
    ]
    return [f"{name:<8}{shown(text)}" for name, text in rows]


def host_object(facts: HostFacts, mode: str) -> dict[str, Any]:
    """What this host can do, for `--json`."""
    found: dict[str, Any] = msgspec.to_builtins(facts)
    return {"type": "host", "mode": mode, **found, "why_no_bpf": facts.why_no_bpf, "why_no_limits": facts.why_no_limits}


def summary_lines(summary: Summary) -> list[str]:
    """The end of a run."""
    lines = ["", f"ran {duration(summary.seconds)}", *count_lines(summary.counts)]
    if summary.stages:
        lines += ["", *stage_lines(summary.stages)]
    for one in summary.limits:
        effect = f"; {escaped(one.effect)}" if one.effect else ""
        lines.append(f"limited {one.id} {escaped(one.comm)}: {one.limit}{effect}; {one.result or 'it stands'}")
    return lines if summary.limits else [*lines, "nothing was limited"]


def _argv(argv: tuple[str, ...]) -> list[str]:
    more = [f"... ({len(argv) - _JSON_ARGS_MAX} more arguments)"] if len(argv) > _JSON_ARGS_MAX else []
    return [*argv[:_JSON_ARGS_MAX], *more]


# An event comes as the process made it: after this, all of its text is UTF-8 and safe to show.
def _safe(thing: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", escaped_all(thing))


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="microseconds")
