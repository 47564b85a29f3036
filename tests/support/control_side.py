"""The daemon's side of the control socket, made of its real parts, around an agent that is only a record of calls."""

from __future__ import annotations

import select
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from brainkernel.clock import SystemClock
from brainkernel.commands import AgentCommands
from brainkernel.config import Config
from brainkernel.control import ControlServer
from brainkernel.decide.approvals import Approvals
from brainkernel.judging import Judging
from brainkernel.link.control import (
    SOCKET_NAME,
    Acting,
    AlertState,
    AlertStates,
    AlertTested,
    ChannelTested,
    Counts,
    Examined,
    LlmUse,
    ProcessRow,
    ProcessRows,
    Released,
    Releases,
    StageFigures,
    Status,
)
from brainkernel.metrics import Figures
from brainkernel.model import Category, Decision, DecisionKind, Limit, Outcome, Refusal, ReleaseResult, Span
from brainkernel.oversight import Oversight
from support.nouns import a_suspect, a_symptom, a_verdict
from support.stores import NOON_NS, a_decision, an_action, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from brainkernel.model import ExamResult, Lesson, ProcessKey
    from brainkernel.store import Decisions
    from support.stores import Opened

STATUS = Status(
    version="0.1.0",
    mode="enforce",
    paused=False,
    loader="core",
    loader_reason="the kernel has BTF",
    uptime_s=3725.0,
    kernel="6.1.0-42-amd64",
    llm=LlmUse("ollama", "qwen2.5:3b", "it answers at 127.0.0.1:11434"),
    counts=Counts(
        execs_seen=1000, known=990, new=10, anomalous=1, suspects=11, llm_calls=2, decisions={"note": 9, "limit": 2}, active_limits=1
    ),
    stages=(StageFigures("gate", 11, 0.02, 0.05, 0.3), StageFigures("total", 11, 1.5, 4.0, 812.0)),
    listening="http://127.0.0.1:9750/metrics",
    notices=("the database is in memory: disk full",),
    resident_bytes=38 << 20,
)
PROCESS_ROWS = ProcessRows(
    rows=(
        ProcessRow(
            pid=4711, uid=0, comm="restic", exe="/usr/bin/restic", cpu_pct=18.2, wait_pct=80.1, category="background", tier="rules",
            confidence=0.93, decision_id=2, limit="cpu_weight=20", effect="mysqld waited 80 % less; it used 18 % of a CPU instead of 100 %",
        ),
        ProcessRow(
            pid=900, uid=110, comm="mysqld", exe="/usr/sbin/mysqld", cpu_pct=140.4, wait_pct=10.0, category="service", tier="cache",
            confidence=0.99, decision_id=1,
        ),
        ProcessRow(
            pid=77, uid=1000, comm="\\x1b[31m", exe="/tmp/" + "long" * 30, cpu_pct=0.0, wait_pct=0.0, category="", tier="", confidence=0.0,
            decision_id=0,
        ),
    ),
    total=3, pressure_pct=4.2, window_s=2.0, mode="enforce",
)  # fmt: skip
MS = 1_000_000
SPANS = tuple(
    Span(stage=stage, ns=ns)
    for stage, ns in (
        ("event_delivery", 2 * MS),
        ("gate", 20_000),
        ("enrich", 3 * MS),
        ("rules", MS),
        ("decide", 50_000),
        ("total", 6 * MS),
    )
)


def a_limit_decision(decision_id: int = 2) -> Decision:
    """A backup that is limited because a database waits."""
    suspect = a_suspect("/usr/bin/restic", argv=("/usr/bin/restic", "backup", "/srv data"), parents=("/usr/sbin/cron",), cwd="/root")
    return a_decision(
        decision_id,
        suspect=suspect,
        verdict=a_verdict(Category.BACKGROUND, 0.93, rule="backup-tools", reason="backup runs while nobody waits"),
        kind=DecisionKind.LIMIT,
        reason="it hurts others and may be slowed",
        symptom=a_symptom(),
        limit=Limit(cpu_weight=20),
        acts=True,
        spans=SPANS,
    )


def fill(decisions: Decisions) -> None:
    """A note, a limit that stands with its effect, and a refusal."""
    decisions.save(a_decision(1, "/usr/bin/\x1b[31mtool", spans=SPANS))
    decisions.save(a_limit_decision(2))
    decisions.attach_action(an_action(2, comm="restic"))
    decisions.attach_outcome(
        Outcome(
            action_id=2,
            window_ns=2_000 * MS,
            target_cpu_pct_before=100,
            target_cpu_pct_after=18,
            pressure_pct_before=60,
            pressure_pct_after=4,
            victim="mysqld",
            victim_wait_pct_before=50,
            victim_wait_pct_after=10,
            helped=True,
        )
    )
    refusal = Refusal(rule="protected_exe", reason="/usr/sbin/sshd is protected")
    decisions.save(a_decision(3, "/usr/sbin/sshd", kind=DecisionKind.REFUSED, refusals=(refusal,), reason="a safety rule forbids it"))


class RecordingAgent:
    """Answers as an agent would, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.learned: list[Lesson] = []
        self.reconsidered: list[ProcessKey] = []
        self.approvals = Approvals()
        self.told: list[str] = []
        self.undo_result = ReleaseResult.RESTORED

    def status(self) -> Status:
        return STATUS

    def set_paused(self, *, paused: bool) -> Acting:
        self.asked.append(f"paused={paused}")
        return Acting("enforce", paused)

    def process_rows(self, limit: int) -> ProcessRows:
        return PROCESS_ROWS

    def alert_states(self) -> AlertStates:
        one = AlertState(
            name="slow", severity="error", state="firing", rule="avg_decision_time > 1", figures="avg_decision_time = 9", since_s=61.0
        )
        return AlertStates("/etc/brainkernel/alerts.yaml", (one,))

    def alert_test(self, name: str, done: Callable[[AlertTested], None]) -> None:
        self.asked.append(f"alert_test {name}")
        done(AlertTested((ChannelTested("slack", delivered=True), ChannelTested("webhook", delivered=False, text="no"))))

    def undo(self, decision_id: int, done: Callable[[Releases], None]) -> None:
        self.asked.append(f"undo {decision_id}")
        done(Releases((Released(decision_id, "restic", self.undo_result, "tool.service"),)))

    def examined(self, result: ExamResult) -> Examined:
        self.asked.append(f"examined {result.backend}/{result.model} {result.passed}")
        return Examined("noted")

    def release_all_now(self, done: Callable[[Releases], None]) -> None:
        self.asked.append("release all")
        done(Releases((Released(2, "restic", ReleaseResult.RESTORED), Released(9, "hog", ReleaseResult.FOREIGN))))


def oversight_of(agent: RecordingAgent, host: Opened, figures: Figures) -> Oversight:
    """People's words over a store, and an agent that records what follows."""
    store = host.store
    judging = Judging(
        config=Config(),
        clock=host.clock,
        figures=figures,
        keep=lambda _decision, judgement: store.judgements.save(judgement),
        log=store.audit.add,
        tell=agent.told.append,
        breached=lambda breach: agent.told.append(breach.text),
    )
    return Oversight(
        decisions=store.decisions,
        log=store.audit,
        approvals=agent.approvals,
        judging=judging,
        clock=host.clock,
        learn=agent.learned.append,
        reconsider=agent.reconsidered.append,
        forced=lambda strategy, by: agent.asked.append(f"{strategy.forced} by {by}"),
    )


@contextmanager
def commands_of(agent: RecordingAgent, directory: Path, figures: Figures) -> Iterator[AgentCommands]:
    """The commands of the socket over a store of their own that is filled."""
    with opened(directory / "state", at_ns=0) as opened_store:
        fill(opened_store.store.decisions)
        yield AgentCommands(agent, opened_store.store.decisions, oversight_of(agent, opened_store, figures))


@contextmanager
def serving(directory: Path) -> Iterator[RecordingAgent]:
    """Serve `directory`/control.sock in a thread, as the daemon's loop would."""
    agent, ready, end = RecordingAgent(), threading.Event(), threading.Event()

    def serve() -> None:
        figures = Figures()
        with commands_of(agent, directory, figures) as commands:
            server = ControlServer(directory / SOCKET_NAME, commands, SystemClock(), figures)
            ready.set()
            while not end.is_set():
                if select.select([server], [], [], 0.02)[0]:
                    server.on_readable()
            server.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(20)
        yield agent
    finally:
        end.set()
        thread.join()


__all__ = ["NOON_NS", "STATUS", "RecordingAgent", "a_limit_decision", "commands_of", "fill", "serving"]
