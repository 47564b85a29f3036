"""Several contenders under the same load, in turns: what disturbs the machine meets all of them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Generic, TypeVar

from benchmarks.contenders.contender import Contender, ContenderError
from benchmarks.outcome import OURS, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.bench import Bench
    from benchmarks.contenders.contender import Running

R = TypeVar("R")
BARE = "bare"  # the load alone


class Turns(Generic[R]):
    """What each contender's runs gave, and who could not run."""

    def __init__(self) -> None:
        self.readings: dict[str, list[R]] = {}
        self.skipped: dict[str, str] = {}

    def take(
        self, bench: Bench, contenders: Iterable[Contender], read: Callable[[Running], R], bare: Callable[[], R] | None = None
    ) -> None:
        """Let each have its turn, `bench.runs` times; one that fails is left out from then on."""
        able = []
        for contender in contenders:
            if why := contender.missing():
                self.skipped[contender.name] = why
            else:
                able.append(contender)
        for run in range(bench.runs):
            if bare is not None:
                bench.say(f"run {run + 1} of {bench.runs}: the load alone")
                self.readings.setdefault(BARE, []).append(bare())
            for contender in [c for c in able if c.name not in self.skipped]:
                bench.say(f"run {run + 1} of {bench.runs}: {contender.name}")
                self._turn(bench, contender, read)

    def _turn(self, bench: Bench, contender: Contender, read: Callable[[Running], R]) -> None:
        try:
            with contender.running(bench) as running:
                self.readings.setdefault(contender.name, []).append(read(running))
        except ContenderError as error:
            self.skipped[contender.name] = str(error)
            self.readings.pop(contender.name, None)

    def series(self, name: str, figure: Callable[[R], float], who: str = "") -> Series | None:
        """One figure of one contender; None if it could not run."""
        readings = self.readings.get(name)
        return Series(who or name, tuple(figure(r) for r in readings)) if readings else None

    def median(self, name: str, figure: Callable[[R], float]) -> float:
        """The same in one number, for one that is always there."""
        return statistics.median(figure(r) for r in self.readings[name])

    def ours(self, name: str, figure: Callable[[R], float]) -> Series:
        """One figure of the agent. Raises ContenderError with the reason where it could not run: a table without it says nothing."""
        series = self.series(name, figure, OURS)
        if series is None:
            msg = f"{name}: {self.skipped[name]}"
            raise ContenderError(msg)
        return series
