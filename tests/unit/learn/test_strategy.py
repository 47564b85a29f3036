"""Which strategy is in force, and when it changes."""

from __future__ import annotations

import pytest
from brainkernel.learn.strategy import DWELL_NS, SETTINGS, ChangedBy, Figures, Strategist, Strategy
from hypothesis import given
from hypothesis import strategies as st
from support.nouns import SECOND_NS

CALM = Figures(mean_decision_ms=20, false_positive_rate=0.01, stability=0.95)
UNSTABLE = Figures(mean_decision_ms=20, false_positive_rate=0.01, stability=0.79)


def settled(figures: Figures) -> Strategist:
    """One that has followed these figures for its dwell time."""
    strategist = Strategist()
    strategist.consider(figures, 0)
    strategist.consider(figures, DWELL_NS)
    return strategist


def test_settings_are_those_of_the_design() -> None:
    """Thresholds 0.3, 0.5, 0.7 and intervals of 5, 10, 30 s."""
    found = [(s.value, SETTINGS[s].throttle_threshold, SETTINGS[s].check_interval_s) for s in Strategy]

    assert found == [("aggressive", 0.3, 5), ("balanced", 0.5, 10), ("conservative", 0.7, 30)]


@pytest.mark.parametrize(
    ("figures", "strategy"),
    [
        (CALM, Strategy.BALANCED),
        (Figures(), Strategy.BALANCED),
        (Figures(mean_decision_ms=3001, false_positive_rate=0.049, stability=0.95), Strategy.AGGRESSIVE),
        (Figures(mean_decision_ms=3001, false_positive_rate=0.05, stability=0.95), Strategy.CONSERVATIVE),
        (Figures(mean_decision_ms=3001, stability=0.95), Strategy.CONSERVATIVE),
        (Figures(mean_decision_ms=3000, false_positive_rate=0.01, stability=0.95), Strategy.BALANCED),
        (UNSTABLE, Strategy.CONSERVATIVE),
        (Figures(stability=0.80), Strategy.BALANCED),
    ],
    ids=["calm", "nothing known", "slow and right", "slow and wrong", "slow, rightness unknown", "just in time", "unstable", "just stable"],
)
def test_rules_choose_the_strategy(figures: Figures, strategy: Strategy) -> None:
    """DESIGN.md section 9, to the figure; what is not known makes nothing bolder."""
    assert settled(figures).strategy is strategy


def test_change_names_the_figures_that_caused_it() -> None:
    """So that the log can be checked."""
    strategist = Strategist()
    strategist.consider(CALM, 0)

    change = strategist.consider(UNSTABLE, DWELL_NS)

    assert change is not None
    assert (change.before, change.after, change.why) == (Strategy.BALANCED, Strategy.CONSERVATIVE, "stability 0.79 < 0.80")


def test_hysteresis_keeps_a_rule_until_its_second_threshold() -> None:
    """0.82 is too good to become conservative and not good enough to stop being it."""
    strategist = settled(UNSTABLE)
    between = Figures(mean_decision_ms=20, stability=0.82)

    assert settled(between).strategy is Strategy.BALANCED
    assert strategist.consider(between, 3 * DWELL_NS) is None
    change = strategist.consider(Figures(mean_decision_ms=20, stability=0.86), 4 * DWELL_NS)
    assert change is not None
    assert change.why == "no rule holds: mean decision time 20 ms, false positive rate unknown, stability 0.86"


def test_no_strategy_is_left_before_its_dwell_time() -> None:
    """Figures that jump each second switch at most once in five minutes."""
    strategist = Strategist()

    changes = [strategist.consider(UNSTABLE if second % 2 else CALM, second * SECOND_NS) for second in range(3600)]

    assert 0 < sum(change is not None for change in changes) <= 3600 * SECOND_NS // DWELL_NS


def test_forced_strategy_holds_until_its_time_is_over() -> None:
    """Whatever the rules say meanwhile; then they are followed at once."""
    strategist = Strategist()

    change = strategist.force(Strategy.CONSERVATIVE, 0, until_ns=1000 * SECOND_NS)

    assert change is not None
    assert change.by is ChangedBy.PERSON
    assert strategist.consider(CALM, 999 * SECOND_NS) is None
    ended = strategist.consider(CALM, 1000 * SECOND_NS)
    assert ended is not None
    assert ended.after is Strategy.BALANCED
    assert ended.why.startswith("its time is over")


def test_forced_strategy_without_end_is_ended_by_a_person() -> None:
    """`strategy auto` follows the rules again."""
    strategist = Strategist()
    strategist.force(Strategy.AGGRESSIVE, 0)
    strategist.consider(CALM, 1 << 60)
    kept = strategist.strategy

    strategist.force(None, 1 << 60)

    assert kept is Strategy.AGGRESSIVE
    assert (strategist.strategy, strategist.is_forced) == (Strategy.BALANCED, False)


FIGURE = st.none() | st.floats()


@given(st.lists(st.tuples(FIGURE, FIGURE, FIGURE, st.integers(0, 1 << 62)), max_size=30))
def test_strategist_takes_any_figures(steps: list[tuple[float | None, float | None, float | None, int]]) -> None:
    """NaN, infinity and clocks that jump change nothing but the strategy."""
    strategist = Strategist()
    for mean_ms, rate, stability, now_ns in steps:
        strategist.consider(Figures(mean_decision_ms=mean_ms, false_positive_rate=rate, stability=stability), now_ns)

    assert strategist.settings in SETTINGS.values()


def test_what_an_alert_demands_lies_below_what_a_person_forces() -> None:
    """The person's word holds while it lasts, then the alert's, then the rules; the end of an alert takes nothing from a person."""
    strategist = Strategist()
    found = [strategist.demand(Strategy.CONSERVATIVE, 0)]
    strategist.force(Strategy.AGGRESSIVE, SECOND_NS, until_ns=10 * SECOND_NS)
    forced = strategist.strategy
    found.append(strategist.consider(CALM, 10 * SECOND_NS))
    strategist.force(Strategy.CONSERVATIVE, 11 * SECOND_NS)
    found.append(strategist.demand(None, 12 * SECOND_NS))
    stays = strategist.strategy, strategist.is_forced
    strategist.force(None, 13 * SECOND_NS)

    assert forced is Strategy.AGGRESSIVE
    assert [change and (change.after, change.by) for change in found] == [
        (Strategy.CONSERVATIVE, ChangedBy.ALERT), (Strategy.CONSERVATIVE, ChangedBy.RULES), None,
    ]  # fmt: skip
    assert stays == (Strategy.CONSERVATIVE, True)
    assert (strategist.strategy, strategist.is_forced) == (Strategy.BALANCED, False)
