"""The week of `./scripts/bench --feedback`: that it is what it says, and that the agent lives through its first hours."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from benchmarks.feedback import checks
from benchmarks.feedback.agent import Run, is_right
from benchmarks.feedback.week import DAY_S, DAYS, ERRORS, HOUR_S, INCIDENTS_PER_DAY, STORMS, Week, is_in
from benchmarks.feedback.words import flood
from brainkernel.learn.quality import Measure
from brainkernel.model import DecisionKind

if TYPE_CHECKING:
    from pathlib import Path


def test_week_is_the_same_for_the_same_seed() -> None:
    """And another one for another."""
    assert Week(3).happenings() == Week(3).happenings()
    assert [h.start for h in Week(3).happenings()] == [h.start for h in Week(3).happenings()]
    assert [h.at_s for h in Week(3).happenings()] != [h.at_s for h in Week(4).happenings()]


def test_week_errs_as_often_as_it_says() -> None:
    """The injected error rates are those of the table, within what so few programs allow."""
    jobs = [job for seed in range(20) for job in Week(seed).jobs]
    for truth, mistakes in ERRORS.items():
        told = Counter(job.said for job in jobs if job.truth is truth)
        for wrong, share in mistakes:
            assert told[wrong] / sum(told.values()) == pytest.approx(share, abs=0.06)


def test_week_has_one_culprit_at_a_time_and_none_in_a_storm() -> None:
    """So that it is known who hurt whom."""
    incidents = [h for h in Week(1).happenings() if h.job]

    assert len(incidents) > 0.9 * DAYS * INCIDENTS_PER_DAY
    assert all(b.at_s - a.at_s >= 30 for a, b in itertools.pairwise(incidents))
    assert not any(is_in(h.at_s, STORMS) for h in incidents)
    assert all(h.at_s < DAYS * DAY_S for h in incidents)


def test_agent_lives_through_the_first_hours(tmp_path: Path) -> None:
    """Incidents become decisions by the simulated model's word, limits stand and end, people say what is true; each limit's trace is whole."""
    week = Week(1)
    run = Run(week, tmp_path, 1, learning=True)
    try:
        run.until(4 * HOUR_S, week.happenings())
        truth = checks.truth_of(run, 0, 4 * HOUR_S)
        rates = {rate.measure: rate.samples for rate in run.whole.judging.rates if rate.window == "7d"}
        limits = [d for d in run.seen.hurting if d.kind is DecisionKind.LIMIT]
        stored = [run.whole.store.decisions.get(d.id) for d in limits]
    finally:
        run.close()

    stages = [[span.stage for span in record.decision.spans] for record in stored if record]
    assert all(found[-3:] == ["decide", "total", "act"] and "safety" in found for found in stages)
    assert truth.decisions > 20
    assert limits
    assert {d.verdict.model for d in limits} == {"simulated/known-errors-1"}
    assert all(d.verdict.category is week.truth[d.suspect.program.exe].said for d in limits)
    assert 0 < rates[Measure.SATISFACTION] < truth.decisions
    assert truth.wrong_limits == sum(not is_right(d, week.truth[d.suspect.program.exe].truth) for d in limits)


def test_flood_of_words_is_bounded_and_costs_nobody_his_own(tmp_path: Path) -> None:
    """What `./scripts/bench --feedback --words 1000000` shows, with a few: through the whole agent, into its store."""
    assert [check.text for check in flood(tmp_path, 3_000) if not check.met] == []
