"""The gate's second door: known programs that take more CPU than they use to, or make others wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import Reason, ReasonCode, Symptom

if TYPE_CHECKING:
    from brainkernel.config import Gate as GateConfig
    from brainkernel.gate.baseline import Baseline


def anomalies_of(exe: str, cpu_pct: float, symptom: Symptom | None, baseline: Baseline, config: GateConfig) -> tuple[Reason, ...]:
    """Why a running program deserves thought now; empty if it does not. Learns nothing.

    A program that hurts others is always a suspect, be it ever so used to it: habit explains, it does not excuse.
    """
    reasons = []
    habit = baseline.habit_of(exe)
    if cpu_pct >= config.cpu_share_min_pct and habit.unlike(cpu_pct, config.baseline_factor):
        usual = f"usually {habit.mean_pct:.0f} %" if habit.samples else "nothing is known of it yet"
        reasons.append(Reason(ReasonCode.CPU_SHARE, f"takes {cpu_pct:.0f} % of a CPU ({usual})"))
    if symptom is not None and symptom.victims:
        worst = symptom.victims[0]
        reasons.append(Reason(ReasonCode.RUN_DELAY, f"{worst.comm} waits {worst.wait_pct:.0f} % of the time while it runs"))
    return tuple(reasons)
