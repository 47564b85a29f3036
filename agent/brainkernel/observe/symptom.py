"""Who hurts whom right now. Pure over one window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from brainkernel.model import Symptom, Victim

if TYPE_CHECKING:
    from collections.abc import Collection

    from brainkernel.config import Symptoms
    from brainkernel.model import ProcessKey
    from brainkernel.observe.window import TaskUse, Window

VICTIMS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """A job that takes CPU while others wait, with its worst process."""

    worst: TaskUse
    symptom: Symptom


def symptom_of(
    window: Window, target: TaskUse, config: Symptoms, *, limited: Collection[ProcessKey], p99_us: float | None
) -> Symptom | None:
    """The harm a job does, or None if one of the thresholds is not reached.

    The job's own processes are no victims, nor is a process that we limit: a limit itself makes its target wait
    (DESIGN.md section 9), and counting that would prove every limit right.
    """
    if window.pressure_pct < config.pressure_pct:
        return None
    job = window.jobs[target.job]
    cpu_pct = sum(use.cpu_pct for use in job)
    if cpu_pct < config.target_cpu_pct:
        return None
    family = {use.key for use in job}
    victims = sorted(
        (
            use
            for use in window.uses.values()
            if use.wait_pct >= config.victim_wait_pct and use.key not in family and use.key not in limited
        ),
        key=lambda use: -use.wait_pct,
    )
    if not victims:
        return None
    return Symptom(
        window_ns=window.length_ns,
        target_cpu_pct=cpu_pct,
        pressure_pct=window.pressure_pct,
        run_queue_p99_us=p99_us,
        victims=tuple(Victim(key=v.key, comm=v.comm, wait_pct=v.wait_pct) for v in victims[:VICTIMS_SHOWN]),
    )


def culprits_of(
    window: Window,
    config: Symptoms,
    *,
    limited: Collection[ProcessKey] = (),
    p99_us: float | None = None,
) -> list[Culprit]:
    """All jobs that hurt somebody now, greediest first, without those under a limit."""
    if window.pressure_pct < config.pressure_pct:
        return []
    found = []
    for job in window.jobs.values():
        worst = max(job, key=lambda use: use.cpu_pct)
        if worst.key in limited:
            continue
        symptom = symptom_of(window, worst, config, limited=limited, p99_us=p99_us)
        if symptom is not None:
            found.append(Culprit(worst=worst, symptom=symptom))
    return sorted(found, key=lambda c: -c.symptom.target_cpu_pct)
