"""What another configuration would have decided about a stored decision. Pure.

The verdict, the symptom and what safety saw of the process are those of the record; policy, thresholds and protected
lists are new. What a person said of a pending limit is not known to a simulation: it shows as pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.decide.decision import Circumstances, decide
from brainkernel.decide.safety import Surroundings
from brainkernel.model import Category, Decision, DecisionKind, Standing

if TYPE_CHECKING:
    from brainkernel.config import Config

# Limits of these reach people and what they depend on: no policy that limits them should be loaded unseen.
PROTECTED = frozenset({Category.SYSTEM_CRITICAL, Category.INTERACTIVE, Category.SERVICE})
# Judged anew. All other refusals are what safety saw at that moment, and stay.
_LISTS = frozenset({"protected_exe", "protected_unit", "protected_package"})
_ANEW = _LISTS | {"confidence", "exam", "approval", "denied", "rate_limit", "active_limit"}
_ORDINARY = Standing(flags=0, nice=0, policy=0, affinity_restricted=False, leads_session=False, owns_terminal=False)


def resimulated(decision: Decision, config: Config, threshold: float) -> Decision:
    """Decide about a record again; `threshold` is that of the strategy. What hurt nobody then hurts nobody now."""
    symptom = decision.symptom
    if symptom is None:
        return decision
    wanted = config.symptoms
    harmful = (
        symptom.pressure_pct >= wanted.pressure_pct
        and symptom.target_cpu_pct >= wanted.target_cpu_pct
        and any(victim.wait_pct >= wanted.victim_wait_pct for victim in symptom.victims)
    )
    circumstances = Circumstances(
        id=decision.id,
        time_ns=decision.time_ns,
        symptom=symptom if harmful else None,
        surroundings=Surroundings(
            suspect=decision.suspect, standing=_ORDINARY, ancestor_exes=(), own=frozenset(), limits_last_minute=0, limits_active=0
        ),
        learned=next((refusal for refusal in decision.refusals if refusal.rule not in _ANEW), None),
        throttle_threshold=threshold,
    )
    return decide(decision.suspect, decision.verdict, circumstances, config)


def is_protected(decision: Decision) -> bool:
    """Whether a limit would reach what people or the host depend on: by its category, or by a list that protected it then."""
    return decision.verdict.category in PROTECTED or any(refusal.rule in _LISTS for refusal in decision.refusals)


def limits(decision: Decision) -> bool:
    """Whether a decision means a limit, be it at once or after a person's word."""
    return decision.kind in (DecisionKind.LIMIT, DecisionKind.PENDING)
