"""The gate's second door: known programs that take more CPU than they use to, or make others wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.gate.gate import is_always
from brainkernel.model import Reason, ReasonCode, Symptom

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from brainkernel.config import Gate as GateConfig
    from brainkernel.gate.baseline import Baseline
    from brainkernel.model import ProcessKey

END = 0.7  # of the bound: what is unlike itself is so until it falls below this share of what it had to exceed


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


class Unlike:
    """Who is unlike itself at this moment, whether it hurts anybody or not. Each is told once, when it begins, and again only after it ended.

    A program whose habit is still being learned has none that it could break; nor has an interpreter, which is another program each time.
    """

    def __init__(self, baseline: Baseline, config: GateConfig) -> None:
        self.config = config
        self._baseline = baseline
        self._now: set[Hashable] = set()

    def by_share(self, key: ProcessKey, exe: str, cpu_pct: float) -> Reason | None:
        """Judge the share of one CPU that a process had in a window. Learns nothing."""
        if cpu_pct < END * self.config.cpu_share_min_pct:  # nearly all, and without a look at their habits
            self._now.discard(key)
            return None
        if is_always(exe):
            return None
        habit = self._baseline.habit_of(exe)
        bound_pct = habit.bound_pct(self.config.baseline_factor)
        if bound_pct is None or not self._begins(key, cpu_pct, max(bound_pct, self.config.cpu_share_min_pct)):
            return None
        return Reason(ReasonCode.CPU_SHARE, f"takes {cpu_pct:.0f} % of a CPU (usually {habit.mean_pct:.0f} %)")

    def by_births(self, job: tuple[int, str], born: int, seconds: float) -> Reason | None:
        """Judge how many processes of one name began in one cgroup within a window, and are there at its end."""
        bound = self.config.fork_storm_per_s * seconds
        if not bound or not self._begins(job, born, bound):
            return None
        return Reason(ReasonCode.FORK_STORM, f"{born} processes of its name began within {seconds:.0f} s")

    def keep_only(self, living: Collection[Hashable]) -> None:
        """Forget the processes and jobs that ended."""
        self._now.intersection_update(living)

    def _begins(self, who: Hashable, value: float, bound: float) -> bool:
        if who in self._now:
            if value < END * bound:
                self._now.discard(who)
            return False
        if value <= bound:
            return False
        self._now.add(who)
        return True
