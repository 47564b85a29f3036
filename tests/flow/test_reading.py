"""What the gateway may read of the daemon, over the real socket and a real store: bounded, redacted, and never faster than agreed."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec
import pytest
from brainkernel.gateway.daemon_link import DaemonLink
from brainkernel.link.control import Counts, LlmUse, Status
from brainkernel.link.messages import DecisionAsked, DecisionsAsked, Hello, OverviewAsked, ReadAnswered, SeriesAsked
from brainkernel.link.reading import DecisionLines, DecisionStory, Overview, SeriesFigures
from brainkernel.link.reads import BURST, Reads
from brainkernel.measuring import Measuring
from brainkernel.model import AuditEntry, Category, DecisionKind, Feedback, Limit, Outcome, Refusal, Span, Symptom, Tier, Victim
from brainkernel.monitoring.hostfigures import HostFigures
from brainkernel.showing import Showing
from brainkernel.store.browsing import SCANNED_MAX, Browser
from brainkernel.store.series import Series
from support.gateway_process import DaemonEnd
from support.nouns import A_KEY, SECOND_NS, a_suspect, a_verdict
from support.stores import NOON_NS, Opened, a_decision, an_action, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.link.messages import Read
    from brainkernel.model import Decision

T = TypeVar("T")
SECRET = "hunter2-Zq83kfLw91xT"  # noqa: S105 # that is what it is


@dataclass(slots=True)
class Ends:
    """Both ends of the socket; `read` asks as a thread of the gateway does, while the daemon serves."""

    daemon: DaemonEnd
    link: DaemonLink
    host: Opened
    measuring: Measuring
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    def ask(self, question: Read) -> Future[ReadAnswered]:
        return self.threads.submit(self.link.read, question, 30.0)

    def answer(self, question: Read) -> ReadAnswered:
        asked = self.ask(question)
        self.daemon.until(asked.done)
        return asked.result()

    def read(self, question: Read, schema: type[T]) -> T:
        answer = self.answer(question)
        assert answer.error == ""
        return msgspec.convert(answer.result, schema)


def measuring_of(host: Opened, daemon: DaemonEnd, directory: Path) -> Measuring:
    series = Series(directory / "state", host.clock, pytest.fail)
    figures = HostFigures(directory, directory / "state", daemon.figures)
    return Measuring(figures=daemon.figures, host=figures, series=series, clock=host.clock, tell=lambda _name, text: pytest.fail(text))


def showing_of(host: Opened, measuring: Measuring) -> Showing:
    store = host.store
    notices = (f"password={SECRET} cannot be read",)
    status = Status(
        version="1",
        mode="observe",
        paused=False,
        loader="core",
        loader_reason="",
        uptime_s=1,
        kernel="",
        llm=LlmUse("none"),
        counts=Counts(),
        notices=notices,
    )
    browser = Browser(store.database, store.decisions)
    return Showing(status=lambda: status, measuring=measuring, decisions=store.decisions, browser=browser, audit=store.audit)


def link_of(path: Path, daemon: DaemonEnd, stop: threading.Event) -> DaemonLink:
    return DaemonLink(
        path,
        daemon_uid=0,
        on_ask=lambda ask: pytest.fail(str(ask)),
        on_order=lambda order: pytest.fail(str(order)),
        hello=lambda: Hello("none", "", ""),
        figures=daemon.figures,
        say=lambda _text: None,
        stop=stop,
    )


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    stop = threading.Event()
    (tmp_path / "state").mkdir()
    with opened(tmp_path / "state", decisions_max=2 * SCANNED_MAX) as host:
        daemon = DaemonEnd(tmp_path / "gateway.sock")
        measuring = measuring_of(host, daemon, tmp_path)
        daemon.asker.reads = Reads(showing_of(host, measuring).answer_to, daemon.clock)
        link = link_of(tmp_path / "gateway.sock", daemon, stop)
        thread = threading.Thread(target=link.run)
        thread.start()
        daemon.until(lambda: daemon.asker.hello)
        made = Ends(daemon, link, host, measuring)
        try:
            yield made
        finally:
            stop.set()
            link.close()
            made.threads.shutdown()
            thread.join()
            daemon.asker.close()
            measuring.close()


def a_limit(number: int) -> Decision:
    """A limit on a program with secrets wherever a process can put them."""
    argv = ("mysqldump", f"--password={SECRET}", "--host", f"https://svc:{SECRET}@db.example.com/")
    suspect = a_suspect("/home/anna.miller/bin/mysqldump", argv=argv, cwd="/home/anna.miller/work", parents=("/bin/sh",))
    return a_decision(
        number,
        suspect=suspect,
        verdict=a_verdict(
            category=Category.BACKGROUND, confidence=0.9, tier=Tier.LLM, model="groq/llama", reason="for anna.miller's backups"
        ),
        kind=DecisionKind.LIMIT,
        reason="background: uses 90 % of a CPU",
        limit=Limit(cpu_weight=20),
        symptom=Symptom(
            window_ns=1, target_cpu_pct=90, pressure_pct=20, run_queue_p99_us=None, victims=(Victim(key=A_KEY, comm="x", wait_pct=30),)
        ),
        refusals=(Refusal(rule="debounce", reason="was judged a moment ago"),),
        spans=(Span(stage="gate", ns=1_000_000), Span(stage="total", ns=4_000_000_000), Span(stage="act", ns=2_000_000)),
    )


def test_gateway_reads_figures_over_time(ends: Ends) -> None:
    """What was measured a moment ago, on one grid; without names, which figures there are."""
    for _ in range(5):
        ends.host.clock.now_boot_ns += SECOND_NS
        ends.measuring.tick()
    now_s = ends.host.clock.wall_ns() // SECOND_NS

    names = ends.read(SeriesAsked(id=0, names=(), from_s=0, to_s=now_s), SeriesFigures).names
    figures = ends.read(SeriesAsked(id=0, names=("own_cpu_pct", "no such"), from_s=now_s - 4, to_s=now_s + 1), SeriesFigures)

    assert "own_cpu_pct" in names
    assert list(figures.series) == ["own_cpu_pct"]
    assert (figures.start_s, figures.step_s, len(figures.series["own_cpu_pct"].mean)) == (now_s - 4, 1, 5)


def test_gateway_sees_a_decision_whole_and_redacted(ends: Ends) -> None:
    """The story with its trace, effect and words, and no secret, no home's name, in any of it."""
    decisions = ends.host.store.decisions
    decisions.save(a_limit(1))
    decisions.attach_action(an_action(1))
    decisions.attach_outcome(
        Outcome(
            action_id=1, window_ns=1, target_cpu_pct_before=90, target_cpu_pct_after=20, pressure_pct_before=20, pressure_pct_after=1,
            victim="x", victim_wait_pct_before=30, victim_wait_pct_after=3, helped=True,
        )
    )  # fmt: skip
    decisions.attach_feedback(1, Feedback(time_ns=NOON_NS, good=False, text=f"my password={SECRET} was shown"))

    answer = ends.answer(DecisionAsked(id=0, decision_id=1))
    page = ends.answer(DecisionsAsked(id=0))
    story = msgspec.convert(answer.result, DecisionStory)

    assert [(span.stage, span.ms) for span in story.spans] == [("gate", 1), ("total", 4000), ("act", 2)]
    assert (story.line.category, story.line.decision, story.line.limit, story.line.active) == ("background", "limit", "cpu_weight=20", True)
    assert (story.route, story.unit, story.helped, story.says) == ("unit", "tool.service", True, "groq/llama")
    assert "x waited 90 % less" in story.effect
    assert story.refusals == {"debounce": "was judged a moment ago"}
    assert [(word.good, word.label) for word in story.feedback] == [(False, "")]
    told = str(answer.result) + str(page.result)
    assert SECRET not in told
    assert "anna" not in told


def test_gateway_pages_through_the_decisions_behind_a_figure(ends: Ends) -> None:
    """By time, kind, category, tier and lateness; an empty page of many rows has a next one."""
    for number in range(1, SCANNED_MAX + 101):
        late = number in {3, 50}
        spans = (Span(stage="total", ns=(5_000 if late else 5) * 1_000_000),)
        tier = Tier.MODEL if number == 50 else Tier.RULES
        ends.host.store.decisions.save(
            a_decision(number, time_ns=NOON_NS + number * SECOND_NS, spans=spans, verdict=a_verdict(tier=tier, category=Category.SERVICE))
        )
    noon_s = NOON_NS // SECOND_NS

    def ids(**wanted: object) -> tuple[list[int], int | None]:
        lines = ends.read(msgspec.convert({"type": "decisions_asked", "id": 0, **wanted}, DecisionsAsked), DecisionLines)
        return [line.id for line in lines.decisions], lines.next_before_id

    newest = SCANNED_MAX + 100
    assert ids(limit=2) == ([newest, newest - 1], newest - 1)
    assert ids(limit=2, before_id=3) == ([2, 1], 1)
    assert ids(late_ms=1000) == ([], 101)
    assert ids(late_ms=1000, before_id=101) == ([50, 3], None)
    assert ids(late_ms=1000, before_id=101, tier="rules") == ([3], None)
    assert ids(late_ms=1000, within_ms=4999, before_id=101) == ([], None)
    assert ids(late_ms=1000, within_ms=5000, before_id=101) == ([50, 3], None)
    assert ids(from_s=noon_s + 10, to_s=noon_s + 14) == ([13, 12, 11, 10], None)
    assert ids(category="interactive", before_id=100) == ([], None)
    assert ids(kind="note", limit=1, before_id=10) == ([9], 9)


def test_gateway_gets_an_overview_with_the_changes_of_strategy(ends: Ends) -> None:
    """Mode, trends and who switched what; notices are redacted like all else."""
    ends.host.store.audit.add(AuditEntry(time_ns=NOON_NS, deed="strategy", text="balanced -> conservative: stability 0.70 < 0.80"))
    ends.host.store.audit.add(AuditEntry(time_ns=NOON_NS + 1, deed="strategy_forced", uid=0, text="aggressive"))
    ends.host.store.audit.add(AuditEntry(time_ns=NOON_NS + 2, deed="approve", uid=0, decision_id=4))
    ends.host.store.audit.add(AuditEntry(time_ns=NOON_NS + 3, deed="alert", text="slow: pause_scheduling: paused"))

    overview = ends.read(OverviewAsked(id=0), Overview)

    assert [(s.deed, s.by_person) for s in overview.switches] == [("alert", False), ("strategy_forced", True), ("strategy", False)]
    assert {trend.name for trend in overview.trends} >= {"own_memory_bytes", "stability", "false_positive_rate"}
    assert SECRET not in str(overview)


def test_gateway_that_floods_the_daemon_is_told_to_wait(ends: Ends) -> None:
    """A burst is answered, then as many as the loop can spare; what is not there is said, and no question is left open."""
    answers = [ends.ask(DecisionAsked(id=0, decision_id=9)) for _ in range(4 * BURST)]
    ends.daemon.until(lambda: all(answer.done() for answer in answers))
    errors = [answer.result().error for answer in answers]

    assert set(errors) == {"not_there", "too_often"}
    assert errors.count("not_there") >= BURST
    assert len({answer.result().id for answer in answers}) == len(answers)


def test_gateway_is_not_left_waiting_when_the_daemon_goes(ends: Ends) -> None:
    """A question whose daemon went away ends at once."""
    asked = ends.ask(OverviewAsked(id=0))
    ends.link.close()
    ends.daemon.asker.close()

    assert asked.result(timeout=20).error in {"away", ""}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "series_asked", "id": 1, "names": ["x"] * 33, "from_s": 0, "to_s": 1},
        {"type": "series_asked", "id": 1, "names": ["x" * 81], "from_s": 0, "to_s": 1},
        {"type": "series_asked", "id": -1, "names": [], "from_s": 0, "to_s": 1},
        {"type": "decisions_asked", "id": 1, "limit": 1000},
        {"type": "decision_asked", "id": 1, "decision_id": 1, "argv": "please"},
    ],
    ids=["many names", "long name", "negative id", "long page", "more fields"],
)
def test_questions_beyond_the_bounds_are_not_messages(message: dict[str, object]) -> None:
    """The schema bounds what can be asked at all."""
    kinds = SeriesAsked | DecisionsAsked | DecisionAsked

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(message, kinds)


def test_story_of_a_decision_without_anything_is_whole(ends: Ends) -> None:
    """The barest record has a story, too."""
    ends.host.store.decisions.save(a_decision(5))

    story = ends.read(DecisionAsked(id=0, decision_id=5), DecisionStory)

    assert (story.line.id, story.spans, story.effect) == (5, (), "")
