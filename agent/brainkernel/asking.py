"""Questions to the LLM: collected, sent in batches through the gateway, and what becomes of the answers.

Nothing here waits. A suspect that was asked about comes back from `collect` exactly once, with the model's
verdict or with "unknown" and the cause; an answer after that goes into the cache and nowhere else.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brainkernel.classify import question
from brainkernel.classify.cachekey import cache_key
from brainkernel.classify.orders import gives_orders
from brainkernel.gateway.llm.prompt import PROMPT_VERSION
from brainkernel.link.asker import LATE_KEPT_NS, Answered, Asker, Late, TimedOut
from brainkernel.link.control import LlmUse
from brainkernel.link.messages import Question
from brainkernel.model import Category, Span, Suspect, Tier, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from brainkernel.clock import Clock
    from brainkernel.config import Llm
    from brainkernel.link.messages import ProposedVerdict, Usage
    from brainkernel.model import ExamResult
    from brainkernel.store import Exams

NS_PER_MS = 1_000_000
LINGER_NS = 20 * NS_PER_MS  # a package's postinst starts programs in flocks: wait so long for company
NOTICED_NS = 40 * NS_PER_MS  # the loop looks for answers each 20 ms, and what follows from none takes its time, too
IN_VAIN_NS = 3600 * 1000 * NS_PER_MS  # a model that does not know a program does not know it a minute later either
IN_VAIN_MAX = 512
WAITING_MAX = 256  # beyond that, an LLM is no help any more
NO_BACKEND = "none"


@dataclass(frozen=True, slots=True)
class _Waiting:
    suspect: Suspect
    since_ns: int
    for_cache: bool = False  # nobody waits for the answer


@dataclass(frozen=True, slots=True)
class _Batch:
    waiting: tuple[_Waiting, ...]
    sent_ns: int


class Asking:
    """The LLM tier as the pipeline sees it."""

    def __init__(
        self,
        *,
        asker: Asker,
        clock: Clock,
        config: Llm,
        exams: Exams,
        remember: Callable[[Suspect, Verdict], None],
        like: Callable[[Suspect], tuple[str, ...]] = lambda _suspect: (),
    ) -> None:
        """`remember` is given each verdict; `like` names earlier ones on similar programs."""
        self._asker = asker
        self._clock = clock
        self.config = config
        self._remember = remember
        self._like = like
        self._exams = exams
        self._results = {(r.backend, r.model): r for r in exams.all() if r.prompt_version == PROMPT_VERSION or r.backend == NO_BACKEND}
        self._waiting: list[_Waiting] = []
        self._batches: dict[str, _Batch] = {}
        self._in_vain: OrderedDict[tuple[str, str, str], int] = OrderedDict()  # whom which model did not know, and when that was
        self.calls = 0  # answered ones; the gateway counts the rest, by backend and cause
        self.unusable = 0  # of those in time, the ones without any verdict

    @property
    def available(self) -> bool:
        """Whether a gateway is there that has a model to ask."""
        hello = self._asker.hello
        return hello is not None and hello.backend != NO_BACKEND

    @property
    def busy(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._waiting or self._asker.outstanding)

    def ask(self, suspect: Suspect) -> bool:
        """Take a suspect to be asked about.

        False if nobody could answer, if this model has just said that it does not know it, or if its own words would have a say.
        """
        if not self.available or len(self._waiting) >= WAITING_MAX or self._was_in_vain(suspect) or gives_orders(suspect.program):
            return False
        self._waiting.append(_Waiting(suspect, self._clock.boot_ns()))
        return True

    def refresh(self, suspect: Suspect) -> bool:
        """Ask about a suspect for the cache alone; False while nobody could answer, or somebody waits for an answer."""
        if not self.available or self.busy or gives_orders(suspect.program):
            return False
        self._waiting.append(_Waiting(suspect, self._clock.boot_ns(), for_cache=True))
        return True

    def collect(self) -> list[tuple[Suspect, Verdict]]:
        """Send what has waited long enough, and hand over every suspect whose answer, or lack of one, is known."""
        now_ns = self._clock.boot_ns()
        done = self._send(now_ns)
        for outcome in self._asker.poll(now_ns):
            if isinstance(outcome, TimedOut):
                done += self._unanswered(outcome, now_ns)
            else:
                done += self._take(outcome, now_ns)
        return done

    def may_act(self, model: str) -> bool:
        """Whether verdicts of a model, named "backend/model", may limit: it passed the exam here, or the configuration says so.

        What the gateway says of itself (`Hello.exam_passed`) is not asked.
        """
        return self.config.may_act or self.has_passed(model)

    def has_passed(self, model: str) -> bool:
        """Whether a language model, named "backend/model", has passed the exam here with today's prompt.

        A gateway cannot answer in the name of the rules and the local model, whose pass stands beside these.
        """
        backend, _, name = model.partition("/")
        result = self._results.get((backend, name))
        return result is not None and result.passed and backend != NO_BACKEND

    def has_failed(self, model: str) -> bool:
        """Whether a model has been examined here and failed; what nobody has examined has not."""
        backend, _, name = model.partition("/")
        result = self._results.get((backend, name))
        return result is not None and not result.passed

    def examined(self, result: ExamResult) -> str:
        """Keep a result, and say what follows from it."""
        self._exams.save(result)
        if result.prompt_version != PROMPT_VERSION:
            return f"kept, but this agent asks with prompt version {PROMPT_VERSION}, not {result.prompt_version}"
        self._results[result.backend, result.model] = result
        return self._standing_of(result.backend, result.model)

    def use(self) -> LlmUse:
        """Which model is asked, and what its verdicts may do."""
        hello = self._asker.hello
        if hello is None:
            return LlmUse("none", reason="no gateway is connected")
        standing = self._standing_of(hello.backend, hello.model) if self.available else ""
        return LlmUse(hello.backend, hello.model, hello.reason, standing)

    def _standing_of(self, backend: str, model: str) -> str:
        result = self._results.get((backend, model))
        if result is not None and result.passed:
            return f"passed ({result.asked} programs, prompt {PROMPT_VERSION}): its verdicts may limit"
        why = f"failed: {result.failures[0]}" if result is not None and result.failures else "not examined yet: see `brainkernel exam`"
        allowed = "they may limit all the same, by llm.may_act" if self.config.may_act else "its verdicts are shown and limit nothing"
        return f"{why}; {allowed}"

    def _send(self, now_ns: int) -> list[tuple[Suspect, Verdict]]:
        unsent = []
        while self._waiting and (len(self._waiting) >= self.config.batch_size or now_ns - self._waiting[0].since_ns >= LINGER_NS):
            batch = self._next_batch()
            questions = [question_of(w.suspect, self._like(w.suspect)) for w in batch]
            identifier = self._asker.ask(questions, self._left_ms(batch, now_ns))
            if identifier is None:
                unsent += [(w.suspect, Verdict.unknown("the LLM could not be asked")) for w in batch if not w.for_cache]
            else:
                self._batches[identifier] = _Batch(batch, now_ns)
        return unsent

    # A model reads a whole batch, and what one program says of itself may sway what it says of another. So programs of one
    # user are asked about together: nobody can speak for or against somebody else's.
    def _next_batch(self) -> tuple[_Waiting, ...]:
        uid = self._waiting[0].suspect.program.uid
        batch = tuple([w for w in self._waiting if w.suspect.program.uid == uid][: self.config.batch_size])
        chosen = set(map(id, batch))
        self._waiting = [w for w in self._waiting if id(w) not in chosen]
        return batch

    # The whole decision is due in time, from the kernel's event on. A batch for which it is too late is asked for the cache.
    def _left_ms(self, batch: tuple[_Waiting, ...], now_ns: int) -> int:
        began_ns = min(w.since_ns if w.for_cache else w.suspect.seen_ns for w in batch)
        return max(1, self.config.deadline_ms - (max(0, now_ns - began_ns) + NOTICED_NS) // NS_PER_MS)

    def _unanswered(self, outcome: TimedOut, now_ns: int) -> list[tuple[Suspect, Verdict]]:
        # The batch stays known for a while: a late answer still goes into the cache.
        self._forget_before(now_ns - LATE_KEPT_NS)
        batch = self._batches.pop(outcome.id) if outcome.gateway_gone else self._batches[outcome.id]
        cause = "the gateway went away" if outcome.gateway_gone else f"the LLM did not answer within {self.config.deadline_ms} ms"
        return [(_timed(w, batch, now_ns), Verdict.unknown(cause)) for w in batch.waiting if not w.for_cache]

    def _forget_before(self, sent_ns: int) -> None:
        for identifier in [i for i, batch in self._batches.items() if batch.sent_ns < sent_ns]:
            del self._batches[identifier]

    def _take(self, outcome: Answered | Late, now_ns: int) -> list[tuple[Suspect, Verdict]]:
        batch = self._batches.pop(outcome.id, None)
        if batch is None:
            return []
        self.calls += 1
        self.unusable += isinstance(outcome, Answered) and not any(outcome.verdicts)
        for waiting, proposed in zip(batch.waiting, outcome.verdicts, strict=True):
            if proposed is not None and proposed.category is Category.UNKNOWN and outcome.usage is not None:
                self._note_in_vain((outcome.usage.backend, outcome.usage.model, cache_key(waiting.suspect)))
        verdicts = [self._verdict_of(p, outcome.usage, outcome.failure) for p in outcome.verdicts]
        judged = [(_timed(w, batch, now_ns, outcome.usage), v) for w, v in zip(batch.waiting, verdicts, strict=True)]
        for suspect, verdict in judged:
            if verdict.category is not Category.UNKNOWN:
                self._remember(suspect, verdict)
        if isinstance(outcome, Late):
            return []
        return [one for one, waiting in zip(judged, batch.waiting, strict=True) if not waiting.for_cache]

    # By the model that would be asked first: what a fallback did not know, that one may.
    def _was_in_vain(self, suspect: Suspect) -> bool:
        hello = self._asker.hello
        told_ns = self._in_vain.get((hello.backend, hello.model, cache_key(suspect))) if hello is not None else None
        return told_ns is not None and self._clock.boot_ns() - told_ns < IN_VAIN_NS

    def _note_in_vain(self, key: tuple[str, str, str]) -> None:
        self._in_vain[key] = self._clock.boot_ns()
        self._in_vain.move_to_end(key)
        if len(self._in_vain) > IN_VAIN_MAX:
            self._in_vain.popitem(last=False)

    def _verdict_of(self, proposed: ProposedVerdict | None, usage: Usage | None, failure: str) -> Verdict:
        if proposed is None:
            return Verdict.unknown(f"the LLM gave no usable answer{f': {failure}' if failure else ''}")
        model = f"{usage.backend}/{usage.model}" if usage else ""
        return Verdict(
            category=proposed.category,
            confidence=proposed.confidence,
            tier=Tier.LLM,
            reason=proposed.reason,
            model=model,
            may_act=self.may_act(model),
        )


# The gateway says how long the model itself took; all else is waiting, here for company and there for its turn. What it says
# counts for no more than passed here, and without its word all of that was the model's.
def _timed(waiting: _Waiting, batch: _Batch, now_ns: int, usage: Usage | None = None) -> Suspect:
    passed_ns = max(0, now_ns - batch.sent_ns)
    model_ns = min(passed_ns, usage.latency_ns) if usage else passed_ns
    queued = Span(stage="llm_queue", ns=batch.sent_ns - waiting.since_ns + passed_ns - model_ns)
    return replace(waiting.suspect, spans=(*waiting.suspect.spans, queued, Span(stage="llm", ns=model_ns)))


def question_of(suspect: Suspect, like: tuple[str, ...] = ()) -> Question:
    """Put what may be told of a suspect, redacted and bounded by `classify`, into the wire's form, beside earlier verdicts `like` it."""
    asked = question.question_of(suspect)
    return Question(
        exe=asked.exe,
        argv=asked.argv,
        comm=asked.comm,
        parents=asked.parents,
        uid=asked.uid,
        cwd=asked.cwd,
        cgroup=asked.cgroup,
        evidence=asked.evidence,
        like=like,
    )
