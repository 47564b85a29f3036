"""What earlier limits teach."""

from brainkernel.learn.experience import Experience, lesson_of
from brainkernel.model import Decision, DecisionKind, Outcome
from support.nouns import SECOND_NS, a_suspect, a_verdict

HOUR_NS = 3600 * SECOND_NS


def a_decision() -> Decision:
    return Decision(id=1, time_ns=0, suspect=a_suspect("/usr/bin/batch"), verdict=a_verdict(), kind=DecisionKind.LIMIT, reason="hurts")


def an_outcome(*, helped: bool) -> Outcome:
    return Outcome(
        action_id=1, window_ns=1, target_cpu_pct_before=100, target_cpu_pct_after=20, pressure_pct_before=50, pressure_pct_after=10,
        victim="x", victim_wait_pct_before=50, victim_wait_pct_after=5, helped=helped,
    )  # fmt: skip


def test_a_person_who_undid_a_limit_is_kept_to_for_a_day() -> None:
    """The same program is not limited again an hour later, and may be two days later."""
    experience, decision = Experience(), a_decision()

    experience.learn(lesson_of(decision, undone_by_person=True), now_ns=0)

    objection = experience.objection(decision.suspect.identity, HOUR_NS)
    assert objection is not None
    assert objection.rule == "undone"
    assert experience.objection(decision.suspect.identity, 48 * HOUR_NS) is None


def test_a_limit_that_helped_nobody_is_not_tried_again_at_once() -> None:
    """An act without effect is only a risk."""
    experience, decision = Experience(), a_decision()

    experience.learn(lesson_of(decision, outcome=an_outcome(helped=False)), now_ns=0)

    objection = experience.objection(decision.suspect.identity, SECOND_NS)
    assert objection is not None
    assert objection.rule == "useless"
    assert experience.objection(decision.suspect.identity, 2 * HOUR_NS) is None


def test_a_limit_that_helped_teaches_nothing_against_the_next() -> None:
    """Success clears an earlier failure."""
    experience, decision = Experience(), a_decision()
    experience.learn(lesson_of(decision, outcome=an_outcome(helped=False)), now_ns=0)

    experience.learn(lesson_of(decision, outcome=an_outcome(helped=True)), now_ns=SECOND_NS)

    assert experience.objection(decision.suspect.identity, 2 * SECOND_NS) is None


def test_a_need_that_comes_back_soon_is_counted_and_forgotten_later() -> None:
    """Three leases in a row count three; an hour of peace starts afresh."""
    experience, identity = Experience(), a_decision().suspect.identity

    for end in (0, 100, 200):
        experience.ended(identity, end * SECOND_NS)

    assert experience.times_needed(identity, 210 * SECOND_NS) == 3
    assert experience.times_needed(identity, HOUR_NS) == 0


def test_experience_is_bounded() -> None:
    """A host with a million programs does not fill the memory."""
    experience = Experience()

    for number in range(Experience.PROGRAMS_MAX + 100):
        experience.ended(a_suspect(f"/opt/{number}").identity, 0)

    assert len(experience._memories) == Experience.PROGRAMS_MAX
