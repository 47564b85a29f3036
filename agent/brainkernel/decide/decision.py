"""Act = verdict x symptom x policy x safety: the one place where a limit is proposed. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.config import limit_of
from brainkernel.decide.approvals import Consent
from brainkernel.decide.ladder import first_step
from brainkernel.decide.safety import Surroundings, immunity_of, objections_of
from brainkernel.model import Category, Decision, DecisionKind, Limit, Refusal, Suspect, Symptom, Verdict

if TYPE_CHECKING:
    from brainkernel.config import CategoryPolicy, Config, Safety


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a decision depends on beside the suspect and its verdict."""

    id: int
    time_ns: int  # CLOCK_REALTIME
    decided_ns: int = 0  # CLOCK_BOOTTIME
    symptom: Symptom | None = None
    surroundings: Surroundings | None = None  # read only when a limit is at stake
    learned: Refusal | None = None  # what earlier limits taught against this one
    throttle_threshold: float = 0.0  # of the strategy: a less certain verdict does not limit either
    consent: Consent = Consent.ASK  # of a person, where one is asked
    first_time: bool = False  # this program was never limited before
    lease_ns: int = 0  # how long a limit may stand
    enforce: bool = False  # mode enforce and not paused
    version: int = 0  # of policy, rules and models that decides


Objections = Callable[[Surroundings, "Safety"], tuple[Refusal, ...]]


def decide(
    suspect: Suspect, verdict: Verdict, circumstances: Circumstances, config: Config, objections: Objections = objections_of
) -> Decision:
    """Say what may be done to one process, and why. Writes nothing. `objections` is the safety check, for those who time it."""
    kind, reason, refusals, ladder = _judge(verdict, circumstances, config, objections)
    symptom = circumstances.symptom
    limit = ladder[first_step(ladder, symptom, config.symptoms)] if ladder and symptom else None
    return Decision(
        id=circumstances.id,
        time_ns=circumstances.time_ns,
        decided_ns=circumstances.decided_ns,
        suspect=suspect,
        verdict=verdict,
        kind=kind,
        reason=reason,
        symptom=symptom,
        limit=limit,
        refusals=refusals,
        ladder=ladder,
        acts=kind is DecisionKind.LIMIT and circumstances.enforce,
        lease_ns=circumstances.lease_ns if limit else 0,
        version=circumstances.version,
    )


_NO = {
    Consent.WAITS: Refusal(rule="approval", reason="waits for a person's approval"),
    Consent.FULL: Refusal(rule="approval", reason="needs a person's approval, and too many limits wait for one already"),
    Consent.DENIED: Refusal(rule="denied", reason="may not be limited: a person said no"),
    Consent.SILENT: Refusal(rule="approval", reason="needs a person's approval, and nobody gave it in time"),
}

_Judgement = tuple[DecisionKind, str, tuple[Refusal, ...], tuple[Limit, ...]]


def _judge(verdict: Verdict, circumstances: Circumstances, config: Config, objections: Objections) -> _Judgement:
    if circumstances.symptom is None:
        return DecisionKind.NOTE, "nobody is hurt", (), ()
    policy = config.policy.of(verdict.category)
    if not policy.limits:
        why = "we do not know what it is" if verdict.category is Category.UNKNOWN else f"{verdict.category} is never limited"
        return DecisionKind.LEAVE, f"{circumstances.symptom.text}, but {why}", (), ()
    ladder, immunity = _ladder_of(verdict, policy, circumstances.surroundings)
    learned = (circumstances.learned,) if circumstances.learned else ()
    risk = _risk_of(verdict, policy, circumstances, config)
    # A person's no holds also where nobody would have been asked.
    no = _NO.get(circumstances.consent) if risk or circumstances.consent is Consent.DENIED else None
    refusals = (
        *_doubts(verdict, policy, circumstances.throttle_threshold),
        *_objections(circumstances, config, objections),
        *immunity,
        *learned,
        *((no,) if no else ()),
    )
    if refusals:
        return DecisionKind.REFUSED, f"{circumstances.symptom.text}, but it {refusals[0].reason}", refusals, ()
    why = f"{verdict.category}: {circumstances.symptom.text}"
    if not risk:
        return DecisionKind.LIMIT, why, (), ladder
    if circumstances.consent is Consent.ALLOWED:
        return DecisionKind.LIMIT, f"{why}; a person approved", (), ladder
    return DecisionKind.PENDING, f"{why}; waits for a person's approval: {risk}", (), ladder


# Why a limit is a person's to decide; "" where it is not.
def _risk_of(verdict: Verdict, policy: CategoryPolicy, circumstances: Circumstances, config: Config) -> str:
    wanted = config.approvals
    if policy.approval:
        return f"each limit of {verdict.category} does"
    if verdict.confidence < wanted.below_confidence:
        return f"the verdict is only {verdict.confidence:.2f} sure, and below {wanted.below_confidence:.2f} a person decides"
    return "it would be the first limit of this program" if wanted.first_time and circumstances.first_time else ""


def _ladder_of(
    verdict: Verdict, policy: CategoryPolicy, surroundings: Surroundings | None
) -> tuple[tuple[Limit, ...], tuple[Refusal, ...]]:
    # Who has diplomatic immunity may be nudged by weight, never capped: the other steps are not open to it.
    ladder = tuple(limit_of(step) for step in policy.limits)
    immune = immunity_of(verdict.category, surroundings)
    if not immune:
        return ladder, ()
    nudges = tuple(step for step in ladder if step.nudges)
    refusal = Refusal(rule="immunity", reason=f"{immune}: it may only be nudged by weight, and the policy has no such step")
    return nudges, () if nudges else (refusal,)


def _doubts(verdict: Verdict, policy: CategoryPolicy, threshold: float) -> tuple[Refusal, ...]:
    doubts = []
    if not verdict.may_act:
        doubts.append(Refusal(rule="exam", reason=f"was judged by {verdict.model}, which has not passed the exam"))
    # The stricter of both: a strategy may ask for more than the person who wrote the policy, never for less.
    asked = max(policy.min_confidence, threshold)
    if verdict.confidence < asked:
        doubts.append(
            Refusal(
                rule="confidence",
                reason=f"is only {verdict.confidence:.2f} sure to be {verdict.category}, {asked:.2f} is asked for",
            )
        )
    return tuple(doubts)


def _objections(circumstances: Circumstances, config: Config, objections: Objections) -> tuple[Refusal, ...]:
    if circumstances.surroundings is None:
        return (Refusal(rule="gone", reason="has ended"),)
    return objections(circumstances.surroundings, config.safety)
