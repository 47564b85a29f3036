"""What a limit did: the same figures, over windows of the same length, before it and after it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.model import Action, Outcome, ProcessKey, Symptom

if TYPE_CHECKING:
    from brainkernel.observe.window import Window

# A change smaller than this, relative to before, is not told from noise on a busy host.
NOTICEABLE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The figures at the moment of the decision, kept until the effect can be measured."""

    action: Action
    symptom: Symptom
    job: tuple[int, str]


def outcome_of(before: Before, after: Window, *, p99_us: float | None, throttled_pct: float | None) -> Outcome:
    """Measure the effect. A victim that ended counts as not waiting any more: it got done.

    `after` must have begun after the limit was applied; `p99_us` is that of its run queue. The target's job is found by its command alone, since
    the limit may have moved it to a cgroup of its own.
    """
    symptom = before.symptom
    target_after = sum(use.cpu_pct for use in after.uses.values() if _is_target(use.key, use.comm, before))
    worst = symptom.victims[0] if symptom.victims else None
    victim_after = after.uses.get(worst.key) if worst else None
    wait_after = victim_after.wait_pct if victim_after else 0.0
    wait_before = worst.wait_pct if worst else 0.0
    helped = wait_after < wait_before * (1 - NOTICEABLE) or after.pressure_pct < symptom.pressure_pct * (1 - NOTICEABLE)
    return Outcome(
        action_id=before.action.id,
        window_ns=after.length_ns,
        target_cpu_pct_before=symptom.target_cpu_pct,
        target_cpu_pct_after=target_after,
        pressure_pct_before=symptom.pressure_pct,
        pressure_pct_after=after.pressure_pct,
        victim=worst.comm if worst else "",
        victim_wait_pct_before=wait_before,
        victim_wait_pct_after=wait_after,
        helped=helped,
        throttled_pct=throttled_pct,
        run_queue_p99_us_before=symptom.run_queue_p99_us,
        run_queue_p99_us_after=p99_us,
    )


def _is_target(key: ProcessKey, comm: str, before: Before) -> bool:
    return key == before.action.target or key in before.action.moved or comm == before.job[1]
