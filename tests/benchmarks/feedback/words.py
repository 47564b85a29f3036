"""A flood of feedback: so many words through the whole agent, most of them by one who shouts and contradicts himself.

What must hold is bounded memory, bounded disk, and that nobody else's word is lost.
"""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

from brainkernel.link.frames import Peer
from brainkernel.link.people import FeedbackArguments
from brainkernel.store.words import WORDS_MAX

from benchmarks.feedback.agent import Run
from benchmarks.feedback.checks import Check
from benchmarks.feedback.week import HOUR_S, S, Week

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIVED_S = 6 * HOUR_S  # some thirty incidents, about half of which people spoke of
SHOUTER = Peer(pid=1, uid=666, gid=666)
QUIET = Peer(pid=1, uid=1003, gid=1000)
PER_TICK = 1_000
WARM_UP = 0.2  # of all words: then every bound is reached
GROWTH_MAX_BYTES = 8 << 20
STATE_MAX_BYTES = 64 << 20
TASK = "limits"


def flood(directory: Path, count: int) -> Iterator[Check]:
    """Say `count` words about decisions of a morning, and look what is left of everybody's."""
    week = Week(1)
    run = Run(week, directory, 1, learning=True)
    try:
        run.until(LIVED_S, week.happenings())
        decisions = [record.decision.id for record in run.whole.store.decisions.page(200) if record.decision.symptom is not None]
        limits = [record.decision for record in run.whole.store.decisions.page(500) if record.decision.limit is not None]
        for decision in limits:
            _say(run, decision.id, QUIET, good=True)
        _tick(run)
        quiet = _words_of(run, QUIET)
        began, resident = time.monotonic(), 0
        for number in range(count):
            _say(run, decisions[number % len(decisions)], SHOUTER, good=bool(number // len(decisions) % 2))
            if number % PER_TICK == PER_TICK - 1:
                _tick(run)
            if number == int(WARM_UP * count):
                resident = _peak_bytes()
        took_s = time.monotonic() - began
        yield from _found(
            run, directory, quiet, _peak_bytes() - resident, f"{count} words in {took_s:.0f} s, {1e6 * took_s / count:.0f} us each"
        )
    finally:
        run.close()


def _found(run: Run, directory: Path, quiet: int, growth_bytes: int, speed: str) -> Iterator[Check]:
    state_bytes = sum(file.stat().st_size for file in (directory / "state").rglob("*") if file.is_file())
    kept, theirs = run.whole.store.words.count(TASK), _words_of(run, SHOUTER)
    judgements = len(run.whole.store.judgements.all())
    yield Check(
        "a flood of words takes bounded memory", growth_bytes <= GROWTH_MAX_BYTES, f"{speed}; peak memory grew by {growth_bytes >> 10} KiB"
    )
    yield Check("and bounded disk", state_bytes <= STATE_MAX_BYTES, f"{state_bytes >> 20} MiB; {judgements} judgements are kept")
    yield Check(
        "and pushes nobody out",
        _words_of(run, QUIET) == quiet > 0,
        f"{kept} of at most {WORDS_MAX} words to learn from, {theirs} of the shouter, all {quiet} of a quiet person",
    )


def _say(run: Run, decision_id: int, peer: Peer, *, good: bool) -> None:
    record = run.whole.store.decisions.get(decision_id)
    assert record is not None  # the store keeps more decisions than a morning has
    run.whole.oversight.feedback(record.decision, FeedbackArguments(id=decision_id, good=good), peer)


def _tick(run: Run) -> None:
    run.clock.advance_to(run.clock.boot_ns() + S)
    run.agent.tick()


def _words_of(run: Run, peer: Peer) -> int:
    return sum(word.source == f"uid {peer.uid}" for word in run.whole.store.words.all(TASK))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
