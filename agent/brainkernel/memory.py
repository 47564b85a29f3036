"""What the gate has met, kept in three places at once: its baseline, the kernel's gate, and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.classify.cachekey import argv_shape
from brainkernel.gate.baseline import CpuHabit
from brainkernel.gate.gate import is_always, shape_digest_of
from brainkernel.store import Habit

if TYPE_CHECKING:
    from brainkernel.clock import Clock
    from brainkernel.gate.baseline import Baseline
    from brainkernel.model import Exec
    from brainkernel.sense.loader import Loader
    from brainkernel.store import Baselines

HABITS_EVERY_NS = 60_000_000_000


def shape_of(event: Exec) -> str | None:
    """The form of the arguments of a program that is judged by them; None for others."""
    return argv_shape(event.argv) if is_always(event.exe) else None


class Memory:
    """Fills the gates from the store at start, and keeps what is met."""

    def __init__(self, baseline: Baseline, loader: Loader, store: Baselines, clock: Clock) -> None:
        self._baseline = baseline
        self._loader = loader
        self._store = store
        self._clock = clock
        self._habits_due_ns = clock.boot_ns() + HABITS_EVERY_NS

    def preload(self) -> int:
        """Let both gates know what earlier runs met, so that a restart is no cold start; returns how many programs."""
        known = list(self._store.identities())
        habits = ((h.exe, CpuHabit(h.mean_pct, h.deviation_pct, h.samples)) for h in self._store.habits())
        self._baseline.preload((k.identity for k in known), self._store.shapes(), habits)
        self._loader.remember_many((k.identity, is_always(k.identity.exe)) for k in known)
        return len(known)

    def met(self, event: Exec, nothing_new: bool) -> None:
        """Keep one program start that was handled; the kernel only counts it from now on.

        One that is judged by its arguments is reported again, unless `nothing_new` was found in just these: what was
        worth a thought is seen a second time before it goes quiet.
        """
        always, now_ns = is_always(event.exe), self._clock.wall_ns()
        if not event.remembered:
            self._loader.remember(event.identity, always=always)
        if always and nothing_new:
            self._loader.remember_arguments(event)
        self._store.meet(event.identity, now_ns, always=always)
        if (shape := shape_of(event)) is not None:
            self._store.meet_shape(shape_digest_of(event.exe, shape), now_ns)

    def running(self, event: Exec) -> None:
        """Learn a program that ran before we did: it is known from now on, without having been judged."""
        shape = shape_of(event)
        self._baseline.learn(event.identity, None if shape is None else shape_digest_of(event.exe, shape))
        self.met(event, nothing_new=False)

    def flush(self) -> None:
        """Hand the CPU habits to the store, once a minute."""
        if self._clock.boot_ns() < self._habits_due_ns:
            return
        self._habits_due_ns = self._clock.boot_ns() + HABITS_EVERY_NS
        now_ns = self._clock.wall_ns()
        for exe, habit in self._baseline.habits():
            self._store.keep_habit(
                Habit(exe=exe, mean_pct=habit.mean_pct, deviation_pct=habit.deviation_pct, samples=habit.samples), now_ns
            )
