"""From a person's word and a measured effect to the figures that a person sees, over a simulated clock and a real store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel import metrics
from brainkernel.config import Config
from brainkernel.decide.approvals import Approvals
from brainkernel.judging import Judging
from brainkernel.link import people
from brainkernel.link.frames import Peer
from brainkernel.metrics import Figures
from brainkernel.model import DecisionKind, Span
from brainkernel.oversight import Oversight
from support.nouns import SECOND_NS
from support.stores import Opened, a_decision, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from brainkernel.model import Lesson


def _raising(text: str) -> None:
    msg = f"nobody should be told {text!r}"
    raise AssertionError(msg)


ROOT_PEER = Peer(pid=77, uid=0, gid=0)


def oversight_of(host: Opened, judging: Judging, learn: Callable[[Lesson], None]) -> Oversight:
    return Oversight(
        decisions=host.store.decisions,
        log=host.store.audit,
        approvals=Approvals(),
        judging=judging,
        clock=host.clock,
        learn=learn,
        reconsider=lambda _key: None,
        forced=lambda _strategy, _by: None,
    )


def judging_of(host: Opened, figures: Figures, tell: Callable[[str], None] = _raising) -> Judging:
    kept = host.store.judgements
    return Judging(
        config=Config(),
        clock=host.clock,
        figures=figures,
        keep=lambda _decision, judgement: kept.save(judgement),
        log=host.store.audit.add,
        tell=tell,
        breached=lambda breach: tell(f"{breach.text} {[span.stage for span in breach.trace]}"),
        earlier=kept.all(),
    )


def test_words_become_figures_that_outlive_a_restart(tmp_path: Path) -> None:
    """Eleven words are a rate with an interval; the next start has it still."""
    lessons: list[Lesson] = []
    with opened(tmp_path) as host:
        judging = judging_of(host, Figures())
        oversight = oversight_of(host, judging, lessons.append)
        for number in range(1, 12):
            decision = a_decision(number, kind=DecisionKind.LIMIT)
            host.store.decisions.save(decision)
            oversight.feedback(decision, people.FeedbackArguments(id=number, good=number > 1), ROOT_PEER)
        record = host.store.decisions.get(1)
    figures = Figures()
    with opened(tmp_path) as host:
        judging_of(host, figures).tick(0)

    assert record is not None
    assert [(said.good, said.uid) for said in record.feedback] == [(False, 0)]
    assert [(lesson.decision_id, lesson.undone_by_person) for lesson in lessons] == [(1, True)]
    assert figures.value(metrics.QUALITY, "false_positive", "1h") == 1 / 11
    assert 0 < figures.value(metrics.QUALITY_BOUND, "false_positive", "1h", "low") < 1 / 11
    assert figures.value(metrics.STABILITY) == 1


def test_slow_decisions_are_told_with_their_trace_but_not_each(tmp_path: Path) -> None:
    """One note a minute per budget, with the stages' times and the count of the others; the metric has them all."""
    figures, told = Figures(), list[str]()
    spans = (Span(stage="gate", ns=1_000_000), Span(stage="llm", ns=3_400_000_000), Span(stage="total", ns=3_500_000_000))
    with opened(tmp_path) as host:
        judging = judging_of(host, figures, told.append)
        for number in range(1, 6):
            judging.decision(a_decision(number, spans=spans))
        host.clock.advance_to(61 * SECOND_NS)
        judging.decision(a_decision(6, spans=spans))

    assert told == [
        "decision 1 broke budget total: 3500 ms, 3000 ms is allowed (gate 1.0, llm 3400.0) ['gate', 'llm', 'total']",
        "decision 6 broke budget total: 3500 ms, 3000 ms is allowed (gate 1.0, llm 3400.0); 4 more since the last such note ['gate', 'llm', 'total']",
    ]
    assert figures.value(metrics.BUDGET_BREACHES, "total", "decision") == 6


def test_the_last_slow_decisions_of_a_burst_are_told_although_nothing_follows(tmp_path: Path) -> None:
    """A burst that has ended is told whole within a minute: the last decision of it, and how many there were."""
    told = list[str]()
    with opened(tmp_path) as host:
        judging = judging_of(host, Figures(), told.append)
        for number in range(1, 6):
            judging.decision(a_decision(number, spans=(Span(stage="total", ns=3_500_000_000),)))
        for second in range(0, 200, 10):
            host.clock.advance_to(second * SECOND_NS)
            judging.tick(0)

    assert told == [
        "decision 1 broke budget total: 3500 ms, 3000 ms is allowed () ['total']",
        "decision 5 broke budget total: 3500 ms, 3000 ms is allowed (); 3 more since the last such note ['total']",
    ]


def test_a_rate_disappears_when_its_window_has_passed(tmp_path: Path) -> None:
    """No figure is better than an old one."""
    figures = Figures()
    with opened(tmp_path) as host:
        judging = judging_of(host, figures)
        oversight = oversight_of(host, judging, lambda _lesson: None)
        for number in range(1, 12):
            oversight.feedback(a_decision(number), people.FeedbackArguments(id=number, good=True), ROOT_PEER)
        host.clock.advance_to(2 * 3600 * SECOND_NS)
        judging.tick(0)

    assert ("satisfaction", "1h") not in figures.by_labels(metrics.QUALITY)
    assert figures.value(metrics.QUALITY, "satisfaction", "24h") == 1
