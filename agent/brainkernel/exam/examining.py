"""An exam from its first question to a result that the agent acts upon."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from brainkernel.classify.model import LocalModel, ModelTier
from brainkernel.classify.ruleset import load
from brainkernel.classify.tiers import RulesTier, classify
from brainkernel.exam.marking import Marks, marked
from brainkernel.exam.sitting import Answers, sitting
from brainkernel.gateway.llm.prices import Prices
from brainkernel.gateway.llm.prompt import PROMPT_VERSION
from brainkernel.model import ExamResult, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from brainkernel.clock import Clock
    from brainkernel.config import Llm
    from brainkernel.exam.paper import Paper, Task

LOCAL = "none"  # the backend that stands for no LLM: the rules and the local model


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Marks, costs and the result of one exam."""

    result: ExamResult
    marks: Marks
    answers: Answers
    cost_dollars: float | None  # None: nobody knows this model's price

    @property
    def latency_ms(self) -> tuple[float, float]:
        """Median and 95th percentile of the calls; zeros if none was answered."""
        ordered = sorted(self.answers.latencies_ms)
        if not ordered:
            return 0.0, 0.0
        return statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def examine(paper: Paper, tasks: Sequence[Task], settings: Llm, clock: Clock, progress: Callable[[int], None]) -> Report:
    """Put the tasks to the backend of `settings`, or to the local tiers if that is "none", and mark the answers.

    A pass counts only over the whole paper. Raises BrainKernelError if there is nobody to ask.
    """
    answers = _local_answers(tasks, clock, progress) if settings.backend == LOCAL else _llm_answers(tasks, settings, clock, progress)
    marks = marked(tasks, answers.verdicts)
    failures = marks.failures
    if len(tasks) < len(paper.tasks):
        failures += (f"only {len(tasks)} of {len(paper.tasks)} programs were asked about: a part of the exam cannot be passed",)
    result = ExamResult(
        backend=answers.backend,
        model=answers.model,
        prompt_version=PROMPT_VERSION,
        time_ns=clock.wall_ns(),
        passed=not failures,
        asked=len(tasks),
        failures=failures,
        measures=marks.measures,
        paper=paper.digest,
    )
    price = Prices(settings).of(answers.backend, answers.model)
    cost_dollars = None if price is None else price.of(answers.tokens_in, answers.tokens_out)
    return Report(result=result, marks=marks, answers=answers, cost_dollars=cost_dollars)


def with_model(settings: Llm, backend: str | None, model: str | None) -> Llm:
    """The settings with a backend and a model named on the command line in the place of the configured ones."""
    changes = {"backend": backend} if backend else {}
    if model:
        key = {"ollama": "ollama_model", "groq": "groq_model", "llamacpp": "llamacpp_model_file"}.get(backend or settings.backend)
        if key is not None:
            changes[key] = model
    return msgspec.structs.replace(settings, **changes)


def _llm_answers(tasks: Sequence[Task], settings: Llm, clock: Clock, progress: Callable[[int], None]) -> Answers:
    with sitting(settings, clock) as room:
        return room.answers([task.suspect for task in tasks], settings.batch_size, progress)


def _local_answers(tasks: Sequence[Task], clock: Clock, progress: Callable[[int], None]) -> Answers:
    rules = RulesTier(load())
    model = LocalModel()
    tiers = (rules, ModelTier(model, rules.ruleset.knowledge))
    answers = Answers(LOCAL, f"rules+local/{model.description.version}")
    for number, task in enumerate(tasks, start=1):
        start_ns = clock.boot_ns()
        verdict: Verdict = classify(task.suspect, tiers)
        answers.latencies_ms.append((clock.boot_ns() - start_ns) / 1e6)
        answers.verdicts.append(verdict)
        progress(number)
    return answers
