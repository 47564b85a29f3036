"""Programs that every candidate is shown before it is taken up: the protected ones among those of the exam."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.classify.facts import Facts
from brainkernel.classify.features import traits_of
from brainkernel.classify.model import CLASSES
from brainkernel.decide.simulation import PROTECTED
from brainkernel.exam.paper import read_paper
from brainkernel.learn.influence import Word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brainkernel.classify.knowledge import Knowledge


def protected_programs(knowledge: Knowledge) -> Iterator[Word]:
    """Read them. Raises BrainKernelError where the exam is not installed."""
    for number, task in enumerate(read_paper().tasks):
        if task.expected is None or not task.right <= PROTECTED:
            continue
        facts = Facts(task.suspect.program, task.suspect.evidence, knowledge)
        label = CLASSES.index(task.expected)
        yield Word(id=number, subject=number, source="exam", label=label, weight=0.0, traits=traits_of(facts), protected=True)
