"""The lines of `brainkernel run`: aligned at every width, safe to show, and the JSON that programs rely on."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import orjson
import pytest
from brainkernel.act.cgroupfs import CgroupVersion
from brainkernel.cli import live
from brainkernel.cli.render import listing_lines
from brainkernel.cli.story import story_lines
from brainkernel.cli.terminal import Style, columns_of
from brainkernel.host import HostFacts
from brainkernel.link.control import Counts, Limited, Listing, StageFigures, Summary, listed_of
from brainkernel.model import (
    Action,
    Category,
    Change,
    Decision,
    DecisionKind,
    DecisionRecord,
    Evidence,
    Exec,
    Exit,
    Limit,
    Mark,
    Outcome,
    Package,
    PackageState,
    Refusal,
    ReleaseResult,
    Route,
    Span,
    Suppressed,
    Tier,
    Unit,
    Verdict,
)
from hypothesis import given
from hypothesis import strategies as st
from support.any_noun import any_of
from support.control_side import SPANS, a_limit_decision
from support.nouns import a_suspect, a_verdict, an_exec
from support.stores import a_decision, an_action

GOLDEN = Path(__file__).parents[2] / "golden"
PLAIN = Style(colour=False)
UNSAFE = {*map(chr, range(0x20)), "\x7f", "\u202e", "\udc80", "\u200b"}


def decisions() -> list[Decision]:
    """One of each kind, with long, wide and hostile names."""
    refusal = Refusal(rule="protected_exe", reason="/usr/sbin/sshd is protected")
    return [
        a_decision(1, "/usr/bin/ls", spans=SPANS, verdict=Verdict.unknown("nobody knows it")),
        a_limit_decision(2),
        a_decision(3, "/usr/sbin/sshd", kind=DecisionKind.REFUSED, refusals=(refusal,), verdict=a_verdict(Category.SYSTEM_CRITICAL, 0.99)),
        a_decision(
            4,
            "/home/user/.cache/very/deep/directory/with-a-long-name/telemetry-agent",
            kind=DecisionKind.LIMIT,
            limit=Limit(cpu_weight=20),
            verdict=a_verdict(Category.BLOATWARE, 0.81, tier=Tier.LLM, model="groq/x"),
            spans=(Span(stage="total", ns=1_234_000_000),),
        ),
        a_decision(5, "/opt/漢字/プログラム", verdict=a_verdict(Category.INTERACTIVE, 0.7, tier=Tier.CACHE)),
        a_decision(
            6,
            suspect=a_suspect("/tmp/\x1b]0;owned\x07\n\udcff", key=a_suspect().key, comm="\u202eexe"),
            verdict=a_verdict(Category.SUSPICIOUS, 1.0),
            reason="a name full of controls \x1b[2J",
            kind=DecisionKind.LEAVE,
            spans=(Span(stage="total", ns=45_678_000_000),),
        ),
    ]


def compare(name: str, lines: list[str]) -> None:
    """Compare with the golden file; GOLDEN_WRITE=1 writes it anew, for a person to read the difference."""
    file = GOLDEN / name
    text = "\n".join(lines) + "\n"
    if os.environ.get("GOLDEN_WRITE"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_live_lines_fit_the_terminal(width: int) -> None:
    """Every column begins where its heading does, and no line is wider than the terminal."""
    table = live.LiveTable(width, PLAIN, UTC)

    lines = [table.header(), *(table.line(d) for d in decisions())]

    assert all(columns_of(line) <= width for line in lines)
    compare(f"live_{width}.txt", lines)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_list_fits_the_terminal(width: int) -> None:
    """So does `brainkernel list`."""
    records = [DecisionRecord(decision=d, action=an_action(2) if d.id == 2 else None) for d in decisions()]

    lines = listing_lines(Listing(tuple(listed_of(r) for r in records)), width, PLAIN, UTC)

    assert all(columns_of(line) <= width for line in lines)
    compare(f"list_{width}.txt", lines)


@given(any_of(Decision), st.integers(1, 300))
def test_live_line_is_safe_for_any_decision(decision: Decision, width: int) -> None:
    """Whatever a process chose, it is one line of printable text; only figures beyond all measure make it wider."""
    table = live.LiveTable(width, PLAIN, UTC)
    known = a_decision(decision.id, suspect=decision.suspect, verdict=decision.verdict, reason=decision.reason)

    line = table.line(known)

    assert not UNSAFE & set(line)
    assert columns_of(table.header()) <= max(80, width)


@given(any_of(Decision))
def test_decision_object_is_json_for_any_decision(decision: Decision) -> None:
    """Every decision can be printed, and its text is safe to show."""
    thing = live.decision_object(replace(decision, spans=SPANS))

    read = orjson.loads(orjson.dumps(thing))
    assert read["id"] == decision.id
    assert not UNSAFE & set(read["exe"] + read["reason"] + read["verdict_reason"] + "".join(read["argv"]))


def test_decision_object_has_what_programs_rely_on() -> None:
    """The keys of the interface, with times in milliseconds."""
    thing = live.decision_object(a_limit_decision(2))

    assert {
        "type": "decision", "id": 2, "time": "2026-11-18T11:06:40.000000+00:00", "pid": 4711, "start_ns": 50_000_000_000,
        "exe": "/usr/bin/restic", "argv": ["/usr/bin/restic", "backup", "/srv data"], "parent": "/usr/sbin/cron", "uid": 1000,
        "category": "background", "tier": "rules", "confidence": 0.93, "decision": "limit", "limit": "cpu_weight=20", "refusals": [],
        "latency_ms": 6.0, "stages": {"event_delivery": 2.0, "gate": 0.02, "enrich": 3.0, "rules": 1.0, "decide": 0.05, "total": 6.0},
    }.items() <= thing.items()  # fmt: skip


@pytest.mark.parametrize(
    ("thing", "keys"),
    [
        (live.event_object(an_exec(argv=("a",) * 100)), {"type": "event", "kind": "exec", "pid": 4711, "exe": "/usr/bin/tool"}),
        (live.event_object(Exit(time_ns=1, key=an_exec().key, exit_code=3)), {"type": "event", "kind": "exit", "exit_code": 3}),
        (live.event_object(Suppressed(time_ns=1, cgroup_id=7, count=9)), {"type": "event", "kind": "suppressed", "count": 9}),
        (live.action_object(an_action()), {"type": "action", "limit": "cpu_weight=20", "unit": "tool.service"}),
        (live.release_object(5, ReleaseResult.GONE, "ended"), {"type": "release", "id": 5, "result": "gone", "reason": "ended"}),
        (live.summary_object(Summary(seconds=2.0, counts=Counts())), {"type": "summary", "seconds": 2.0}),
    ],
    ids=["exec", "exit", "suppressed", "action", "release", "summary"],
)
def test_objects_have_a_type_and_their_figures(thing: dict[str, Any], keys: dict[str, Any]) -> None:
    """A program tells them apart by `type`."""
    assert keys.items() <= thing.items()
    orjson.dumps(thing)


@given(any_of(Exec) | any_of(Action) | any_of(Outcome))
def test_objects_are_json_for_any_noun(noun: Exec | Action | Outcome) -> None:
    """No event, limit or effect can break the stream."""
    make: Any = {Exec: live.event_object, Action: live.action_object, Outcome: live.outcome_object}[type(noun)]

    orjson.dumps(make(noun))


FACTS = HostFacts(
    kernel="6.1.0-42-amd64",
    machine="x86_64",
    distribution="Debian GNU/Linux 12 (bookworm)",
    is_root=True,
    btf=True,
    lockdown="none",
    lacking_capabilities=(),
    cgroup=CgroupVersion.V2,
    cpu_controller=True,
    systemd_version=252,
    sched_ext="",
    psi=True,
    container="",
)


def test_banner_and_summary_as_people_read_them() -> None:
    """What this host can do at the start, what was done at the end."""
    summary = Summary(
        seconds=20.5,
        counts=Counts(execs_seen=1000, known=990, new=10, anomalous=1, suspects=11, decisions={"note": 10, "limit": 1}, limits_applied=1),
        stages=(StageFigures("gate", 11, 0.02, 0.05, 0.3), StageFigures("total", 11, 1.5, 4.0, 812.0)),
        limits=(Limited(id=2, comm="restic", limit="cpu_weight=20", effect="mysqld waited 80 % less", result="restored"),),
    )

    compare("run_banner_and_summary.txt", [*live.banner_lines(FACTS, "enforce"), *live.summary_lines(summary)])


def test_story_of_a_decision_as_people_read_it() -> None:
    """`explain` from the event to the command that undoes it."""
    decision = a_limit_decision(2)
    evidence = Evidence(
        package=Package(name="restic", section="utils", summary="backup program", state=PackageState.MODIFIED),
        unit=Unit(name="backup.service", description="Nightly backup", slice="system.slice", triggered_by=("backup.timer",)),
        session="3",
        marks=frozenset({Mark.WORLD_WRITABLE_DIR}),
    )
    told = replace(decision, suspect=replace(decision.suspect, evidence=evidence))

    compare("explain.txt", story_lines(DecisionRecord(decision=told, action=an_action(2)), PLAIN, UTC))


def test_explain_counts_the_threads_of_a_limit_on_single_tasks() -> None:
    """Why this route, what was written on how many, and what could not be had; not a line for each of a thousand threads."""
    threads = [Change(f"thread {n}@{n} of 7", "policy=0 nice=0 io=0", "policy=5 nice=13 io=24583") for n in range(1000)]
    action = replace(
        an_action(2), route=Route.TASK, unit="cron.service", changes=(*threads, Change("autogroup-5", "0", "19")),
        why="cron.service is shared with cron: its tasks one by one", notes=("cpu_quota=20% is not to be had for single tasks: idle instead",),
    )  # fmt: skip

    text = "\n".join(story_lines(DecisionRecord(decision=a_decision(2), action=action), PLAIN, UTC))

    assert "route        cron.service is shared with cron: its tasks one by one" in text
    assert "written      autogroup-5: 0 -> 19" in text
    assert "written      1000 threads: policy=0 nice=0 io=0 -> policy=5 nice=13 io=24583" in text
    assert "note         cpu_quota=20% is not to be had for single tasks: idle instead" in text
    assert "thread 7@7" not in text


def test_explain_says_of_which_model_a_kept_verdict_is() -> None:
    """It was a model's word when it was kept, and is no surer for it."""
    decision = a_decision(2)
    kept = replace(decision.verdict, tier=Tier.CACHE, rule="", model="ollama/llama3.2:3b")

    text = "\n".join(story_lines(DecisionRecord(decision=replace(decision, verdict=kept)), PLAIN, UTC))

    assert "says         cache, of LLM ollama/llama3.2:3b" in text


@given(any_of(DecisionRecord))
def test_story_is_safe_for_any_record(record: DecisionRecord) -> None:
    """No stored text reaches a terminal as it came."""
    assert not UNSAFE & set("".join(story_lines(record, PLAIN, UTC)))
