"""Limits that wait for a person's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from brainkernel.config import CategoryPolicy, Config, Policy
from brainkernel.decide.approvals import APPROVED_NS, DENIED_NS, PENDING_MAX, SILENCE_NS, Approvals, Consent
from brainkernel.decide.decision import Circumstances, decide
from brainkernel.decide.safety import Surroundings
from brainkernel.model import Category, DecisionKind, Evidence, ProcessKey
from support.nouns import SECOND_NS, a_standing, a_suspect, a_symptom, a_verdict
from support.stores import a_decision

if TYPE_CHECKING:
    from brainkernel.model import Decision, Suspect

TIMEOUT_NS = 600 * SECOND_NS
BACKGROUND = Category.BACKGROUND


def a_process(pid: int = 4711, exe: str = "/opt/batch", script: str = "") -> Suspect:
    return a_suspect(exe, key=ProcessKey(pid, SECOND_NS), evidence=Evidence(script=script))


def a_pending(decision_id: int, suspect: Suspect) -> Decision:
    return a_decision(decision_id, suspect=suspect, kind=DecisionKind.PENDING)


@pytest.fixture
def approvals() -> Approvals:
    approvals = Approvals()
    approvals.ask(a_pending(1, a_process()), 0, TIMEOUT_NS)
    return approvals


def test_program_is_asked_about_once(approvals: Approvals) -> None:
    """A second process of it waits for the same answer; another program is another question."""
    assert approvals.consent(a_process(pid=9), BACKGROUND, 1) is Consent.WAITS
    assert approvals.consent(a_process(exe="/opt/other"), BACKGROUND, 1) is Consent.ASK
    assert approvals.consent(a_process(), Category.SUSPICIOUS, 1) is Consent.ASK


def test_approval_holds_for_that_process_for_an_hour(approvals: Approvals) -> None:
    """The next process of the same program is asked about anew."""
    approvals.answer(1, 0, allowed=True, always=False)

    assert approvals.consent(a_process(), BACKGROUND, APPROVED_NS - 1) is Consent.ALLOWED
    assert approvals.consent(a_process(), BACKGROUND, APPROVED_NS) is Consent.ASK
    assert approvals.consent(a_process(pid=9), BACKGROUND, 1) is Consent.ASK


def test_denial_holds_for_the_program_for_a_day(approvals: Approvals) -> None:
    """Started again, it is not asked about again."""
    approvals.answer(1, 0, allowed=False, always=False)

    assert approvals.consent(a_process(pid=9), BACKGROUND, DENIED_NS - 1) is Consent.DENIED
    assert approvals.consent(a_process(pid=9), BACKGROUND, DENIED_NS) is Consent.ASK


@pytest.mark.parametrize(("allowed", "consent"), [(True, Consent.ALLOWED), (False, Consent.DENIED)])
def test_always_holds_for_the_program_and_only_its_script(approvals: Approvals, allowed: bool, consent: Consent) -> None:
    """To approve one script of an interpreter is not to approve the interpreter."""
    approvals.ask(a_pending(2, a_process(exe="/usr/bin/python3", script="/opt/index.py")), 0, TIMEOUT_NS)
    approvals.answer(2, 0, allowed=allowed, always=True)

    long_after_ns = 1000 * DENIED_NS
    assert approvals.consent(a_process(9, "/usr/bin/python3", "/opt/index.py"), BACKGROUND, long_after_ns) is consent
    assert approvals.consent(a_process(9, "/usr/bin/python3", "/opt/other.py"), BACKGROUND, long_after_ns) is Consent.ASK


def test_silence_is_a_no(approvals: Approvals) -> None:
    """After the time-out it waits no more, cannot be approved, and is not asked about for an hour."""
    early, late = approvals.expire(TIMEOUT_NS - 1), approvals.expire(TIMEOUT_NS)

    assert early == []
    assert [pending.decision.id for pending in late] == [1]
    assert approvals.answer(1, TIMEOUT_NS, allowed=True, always=False) is None
    assert approvals.consent(a_process(), BACKGROUND, TIMEOUT_NS + SILENCE_NS - 1) is Consent.SILENT


def test_more_than_a_person_reads_is_not_asked() -> None:
    """A flood of new programs cannot bury the one question that matters, nor fill the memory."""
    approvals = Approvals()
    for number in range(PENDING_MAX):
        approvals.ask(a_pending(number, a_process(exe=f"/tmp/{number}")), 0, TIMEOUT_NS)

    assert approvals.consent(a_process(exe="/tmp/more"), BACKGROUND, 0) is Consent.FULL


@pytest.mark.parametrize(
    ("consent", "kind", "acts", "rule"),
    [
        (Consent.ASK, DecisionKind.PENDING, False, None),
        (Consent.ALLOWED, DecisionKind.LIMIT, True, None),
        (Consent.WAITS, DecisionKind.REFUSED, False, "approval"),
        (Consent.DENIED, DecisionKind.REFUSED, False, "denied"),
        (Consent.SILENT, DecisionKind.REFUSED, False, "approval"),
        (Consent.FULL, DecisionKind.REFUSED, False, "approval"),
    ],
)
def test_decision_follows_what_a_person_said(consent: Consent, kind: DecisionKind, acts: bool, rule: str | None) -> None:
    """Only a yes acts."""
    decision = decided(consent, nice=0)

    assert (decision.kind, decision.acts) == (kind, acts)
    assert [refusal.rule for refusal in decision.refusals] == ([rule] if rule else [])


def test_approval_goes_over_no_safety_rule() -> None:
    """What a person placed by nice stays, also where another person approved."""
    assert decided(Consent.ALLOWED, nice=5).kind is DecisionKind.REFUSED
    assert decided(Consent.ASK, nice=5).kind is DecisionKind.REFUSED


def decided(consent: Consent, *, nice: int) -> Decision:
    suspect = a_process()
    around = Surroundings(
        suspect=suspect, standing=a_standing(nice=nice), ancestor_exes=(), own=frozenset(), limits_last_minute=0, limits_active=0
    )
    config = Config(policy=Policy(background=CategoryPolicy(limits=("idle",), approval=True)))
    circumstances = Circumstances(id=1, time_ns=0, symptom=a_symptom(), surroundings=around, consent=consent, enforce=True)
    return decide(suspect, a_verdict(), circumstances, config)
