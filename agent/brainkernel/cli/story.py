"""The text of `brainkernel explain`: one decision from the kernel's event to the effect of its limit. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from brainkernel.cli.render import milliseconds
from brainkernel.escape import shown
from brainkernel.model import DecisionKind, PackageState, ReleaseResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import tzinfo

    from brainkernel.cli.terminal import Style
    from brainkernel.model import Action, Decision, DecisionRecord, Evidence, Program, Span, Verdict

_LABEL = 13
_BAR = 40  # columns of the waterfall
_ARGV_MAX = 1024  # characters shown; --json has all
_NOT_SET = str(2**64 - 1)  # as systemd spells it
_RESULTS = {
    ReleaseResult.RESTORED: "released, the old values are restored",
    ReleaseResult.GONE: "ended with its process or unit",
    ReleaseResult.FOREIGN: "given up: somebody else changed the value",
    ReleaseResult.FAILED: "could not be released yet; it is tried again",
}


def story_lines(record: DecisionRecord, style: Style, zone: tzinfo | None = None) -> list[str]:
    """All that is known of one decision, as labelled lines under headings."""
    decision = record.decision
    when = datetime.fromtimestamp(decision.time_ns / 1e9, zone).strftime("%Y-%m-%d %H:%M:%S")
    parts: list[tuple[str, Iterable[tuple[str, str]]]] = [
        ("event", _event(decision)),
        ("evidence", _evidence(decision.suspect.evidence)),
        ("verdict", _verdict(decision.verdict)),
        ("decision", _decision(record)),
        ("limit", _limit(record)),
        ("said", _feedback(record)),
    ]
    lines = [style.paint(f"decision {decision.id}, {when}: {shown(decision.reason)}", "bold")]
    for heading, rows in parts:
        shown_rows = [f"  {style.paint(label.ljust(_LABEL), 'dim')}{shown(text)}" for label, text in rows]
        if shown_rows:
            lines += ["", style.paint(heading, "cyan"), *shown_rows]
    if decision.spans:
        lines += ["", style.paint("time", "cyan"), *waterfall(decision.spans)]
    if record.active:
        lines += ["", f"undo it:  brainkernel undo {decision.id}"]
    return lines


def _event(decision: Decision) -> Iterator[tuple[str, str]]:
    suspect, program = decision.suspect, decision.suspect.program
    yield "program", program.exe or program.comm or "(unknown)"
    yield "pid", f"{suspect.key.tgid} (uid {program.uid})"
    if program.argv:
        yield "arguments", argv_text(program)
    if program.filename and program.filename != program.exe:
        yield "started as", program.filename
    if program.parents:
        yield "started by", " < ".join(p or "?" for p in program.parents)
    if program.cwd:
        yield "directory", program.cwd
    if program.cgroup:
        yield "cgroup", program.cgroup
    for reason in suspect.reasons:
        yield "why looked", reason.text


def argv_text(program: Program) -> str:
    """The command line on one line; it is for reading, not for a shell."""
    text = " ".join(repr(a) if " " in a or not a else a for a in program.argv)
    return text if len(text) <= _ARGV_MAX else f"{text[:_ARGV_MAX]}… ({len(program.argv)} arguments, see --json)"


def _evidence(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if package := evidence.package:
        section = f" [{package.section}]" if package.section else ""
        summary = f": {package.summary}" if package.summary else ""
        odd = {PackageState.MODIFIED: "; the file is NOT what the package shipped", PackageState.UNCHECKED: " (checksum not read)"}
        yield "package", f"{package.name}{section}{summary}{odd.get(package.state, f' ({package.state})')}"
    elif evidence.unowned:
        yield "package", "none owns this file"
    if unit := evidence.unit:
        yield "unit", f"{unit.name}{f': {unit.description}' if unit.description else ''}{f' in {unit.slice}' if unit.slice else ''}"
        if unit.triggered_by:
            yield "triggered by", ", ".join(unit.triggered_by)
    for label, text in (
        ("container", evidence.container),
        ("image", evidence.image),
        ("session", evidence.session),
        ("terminal", evidence.tty),
        ("script", evidence.script),
        ("file", _file(evidence)),
        ("connections", "; ".join(evidence.sockets)),
        ("standard input", f"connected to {evidence.remote_stdio}" if evidence.remote_stdio else ""),
        ("waited", _waited(evidence)),
        ("odd", ", ".join(sorted(m.value.replace("_", " ") for m in evidence.marks))),
    ):
        if text:
            yield label, text


def _file(evidence: Evidence) -> str:
    age_s = evidence.exe_age_s
    age = "" if age_s is None else f"changed {age_s // 86_400} days ago" if age_s >= 86_400 else f"changed {age_s // 60} minutes ago"  # noqa: PLR2004
    return ", ".join(filter(None, (age, f"sha256 {evidence.exe_sha256}" if evidence.exe_sha256 else "")))


def _waited(evidence: Evidence) -> str:
    waits = ((evidence.run_delay_ns, "for a CPU"), (evidence.disk_delay_ns, "for disks"))
    return ", ".join(f"{ns / 1e9:.2f} s {what}" for ns, what in waits if ns)


def _verdict(verdict: Verdict) -> Iterator[tuple[str, str]]:
    kept = f"cache, of LLM {verdict.model}" if verdict.model else "cache"
    who = {"rules": f"rule {verdict.rule}", "llm": f"LLM {verdict.model}", "cache": kept}.get(verdict.tier.value, verdict.tier.value)
    yield "category", f"{verdict.category}, {100 * verdict.confidence:.0f} % sure"
    if verdict.tier != "none":
        yield "says", who.strip()
    yield "because", verdict.reason
    if verdict.pending:
        yield "pending", "an LLM was asked; its answer had not come"
    if not verdict.may_act:
        yield "trust", "this model has not passed its exam: its verdict is shown and never acts"


def _decision(record: DecisionRecord) -> Iterator[tuple[str, str]]:
    decision = record.decision
    words = {
        DecisionKind.NOTE: "noted; nothing hurts",
        DecisionKind.LIMIT: f"limit: {decision.limit}"
        if decision.acts
        else f"would limit: {decision.limit} (not acting: mode observe or paused)",
        DecisionKind.PENDING: f"waits for a person: {decision.limit} (`brainkernel approve {decision.id}` or `deny`)",
        DecisionKind.REFUSED: f"refused{f': {decision.limit}' if decision.limit else ''}",
        DecisionKind.LEAVE: "left alone; the policy has no limit for what it is",
    }
    yield "decided", words[decision.kind]
    yield "because", decision.reason
    if decision.symptom:
        yield "harm", decision.symptom.text
        for victim in decision.symptom.victims[1:]:
            yield "", f"{victim.comm} ({victim.key.tgid}) waits {victim.wait_pct:.0f} %"
    for refusal in (*decision.refusals, *record.refusals):
        yield "forbidden by", f"{refusal.rule}: {refusal.reason}"
    if decision.version:
        yield "by version", f"{decision.version} (`brainkernel versions`)"


def _limit(record: DecisionRecord) -> Iterator[tuple[str, str]]:
    action = record.action
    if action is None:
        return
    yield "limit", f"{action.limit} by route {action.route} on {action.unit or action.cgroup}"
    if action.why:
        yield "route", action.why
    yield from _written(action)
    for note in action.notes:
        yield "note", note
    if record.outcome:
        yield "effect", f"{record.outcome.text} ({'it helped' if record.outcome.helped else 'it did not help'})"
    yield "state", _RESULTS[record.release] if record.release else "stands now"


def _written(action: Action) -> Iterator[tuple[str, str]]:
    threads: Counter[tuple[str, str]] = Counter()
    for change in action.changes:
        if change.name.startswith("thread "):
            threads[change.before, change.after] += 1
        elif not change.name.startswith("cgroup of "):
            before = "(unset)" if change.before in ("", _NOT_SET) else change.before
            yield "written", f"{change.name}: {before} -> {change.after}"
    for (before, after), count in threads.items():
        yield "written", f"{count} threads: {before} -> {after}"
    if action.moved and action.owns_cgroup:
        yield "moved", f"{len(action.moved)} processes into {action.unit or action.cgroup}"


def _feedback(record: DecisionRecord) -> Iterator[tuple[str, str]]:
    for one in record.feedback:
        label = f", it is {one.label}" if one.label else ""
        yield "good" if one.good else "bad", f"{one.text or 'a person said so'}{label}"


def waterfall(spans: tuple[Span, ...]) -> list[str]:
    """One row per stage: its time, and a bar that begins where the stage before it ended."""
    stages = [s for s in spans if s.stage != "total"]
    sum_ns = sum(s.ns for s in stages)
    total_ns = max((s.ns for s in spans if s.stage == "total"), default=sum_ns)
    whole_ns = max(sum_ns, total_ns, 1)
    rows, begun_ns = [], 0
    for span in stages:
        first = min(_BAR - 1, begun_ns * _BAR // whole_ns)
        length = max(1, min(_BAR - first, round(span.ns * _BAR / whole_ns)))
        rows.append(f"  {shown(span.stage):<16}{milliseconds(span.ns / 1e6):>10}  {' ' * first}{'█' * length}")
        begun_ns += span.ns
    return [*rows, f"  {'total':<16}{milliseconds(total_ns / 1e6):>10}"]
