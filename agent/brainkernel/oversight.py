"""What people say to the agent about its decisions, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.learn.experience import lesson_of
from brainkernel.link import control
from brainkernel.model import DecisionKind, Feedback

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.judging import Judging
    from brainkernel.link.frames import Peer
    from brainkernel.model import Decision, Lesson
    from brainkernel.store import Decisions


class Oversight:
    """People's words. Who speaks is taken from SO_PEERCRED by the control socket."""

    def __init__(self, *, decisions: Decisions, learn: Callable[[Lesson], None], judging: Judging, clock: Clock) -> None:
        self._decisions = decisions
        self._learn = learn
        self._judging = judging
        self._clock = clock

    def feedback(self, decision: Decision, arguments: control.FeedbackArguments, peer: Peer) -> control.Noted:
        """Keep a word about a decision; a bad one about a limit leaves the program alone for a day, as an undo does."""
        said = Feedback(time_ns=self._clock.wall_ns(), good=arguments.good, label=arguments.label, text=arguments.text, uid=peer.uid)
        self._decisions.attach_feedback(decision.id, said)
        self._judging.said(decision, said)
        if said.good or decision.kind is not DecisionKind.LIMIT:
            return control.Noted(decision.id, "noted")
        self._learn(lesson_of(decision, undone_by_person=True))
        return control.Noted(decision.id, f"noted: {decision.suspect.program.comm} is not limited again for a day")
