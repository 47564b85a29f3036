"""One model in its exam: asked through a gateway of its own, as the agent asks, and with nothing but time to spare."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from brainkernel.asking import question_of
from brainkernel.errors import BrainKernelError, PermissionDeniedError
from brainkernel.gateway.llm.failure import Cause
from brainkernel.link.asker import Answered, Asker, Late, TimedOut
from brainkernel.link.messages import GATEWAY_SOCKET
from brainkernel.metrics import Figures
from brainkernel.model import Tier, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from brainkernel.clock import Clock
    from brainkernel.config import Llm
    from brainkernel.link.messages import ProposedVerdict
    from brainkernel.model import Suspect

T = TypeVar("T")
UNPRIVILEGED_USER = "nobody"
START_PATIENCE_S = 60.0
END_PATIENCE_S = 3.0
CALL_PATIENCE_MS = 120_000  # nobody's start waits for an exam: a slow model is marked slow, not wrong
POLL_S = 0.05
REST_S = 5.0
RESTS_MAX_S = 900.0  # in the whole exam: the breaker lets a slow model rest, and what it was not asked says nothing about it
NO_BACKEND = "none"


@dataclass(slots=True)
class Answers:
    """What the model said, one verdict per question (None: none that could be used), and what it cost."""

    backend: str
    model: str
    verdicts: list[Verdict | None] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)  # of the calls
    tokens_in: int = 0
    tokens_out: int = 0
    failures: dict[str, int] = field(default_factory=dict)


class Sitting:
    """A private gateway and the daemon's end of its socket."""

    def __init__(self, asker: Asker, clock: Clock, child: subprocess.Popen[bytes], rest: Callable[[float], None] = time.sleep) -> None:
        self._rest = rest
        self._asker = asker
        self._clock = clock
        self._child = child
        self._rested_s = 0.0

    def answers(self, suspects: Sequence[Suspect], batch_size: int, progress: Callable[[int], None]) -> Answers:
        """Ask about all, one batch after the other. Raises BrainKernelError if there is no model or the gateway ends."""
        hello = self._until(lambda: self._asker.hello, START_PATIENCE_S, "the gateway did not come up")
        if hello.backend == NO_BACKEND:
            msg = f"there is no language model to examine: {hello.reason}"
            raise BrainKernelError(msg)
        answers = Answers(hello.backend, hello.model)
        for start in range(0, len(suspects), batch_size):
            self._ask(suspects[start : start + batch_size], answers)
            progress(len(answers.verdicts))
        return answers

    def _ask(self, batch: Sequence[Suspect], answers: Answers) -> None:
        outcome = self._outcome(batch)
        while not isinstance(outcome, TimedOut) and outcome.failure == Cause.BREAKER_OPEN and self._rested_s < RESTS_MAX_S:
            self._rest(REST_S)
            self._rested_s += REST_S
            outcome = self._outcome(batch)
        if isinstance(outcome, TimedOut):
            _note(answers, "timeout", len(batch))
            return
        self._take(outcome, answers, len(batch))

    def _outcome(self, batch: Sequence[Suspect]) -> Answered | Late | TimedOut:
        asked = self._asker.ask([question_of(s) for s in batch], CALL_PATIENCE_MS)
        if asked is None:
            msg = "the gateway went away during the exam"
            raise BrainKernelError(msg)

        # What comes too late for an earlier batch is no answer to this one.
        def own() -> list[Answered | Late | TimedOut]:
            return [o for o in self._asker.poll(self._clock.boot_ns()) if o.id == asked]

        (outcome,) = self._until(own, CALL_PATIENCE_MS / 1000 + END_PATIENCE_S, "no answer")
        if isinstance(outcome, TimedOut) and outcome.gateway_gone:
            msg = "the gateway went away during the exam"
            raise BrainKernelError(msg)
        return outcome

    # A fallback that answered in its place is not the one that is examined.
    def _take(self, outcome: Answered | Late, answers: Answers, count: int) -> None:
        usage = outcome.usage
        if usage is None or outcome.failure:
            _note(answers, outcome.failure or "no usage", count)
            return
        if (usage.backend, usage.model) != (answers.backend, answers.model):
            _note(answers, f"answered by {usage.backend} {usage.model}", count)
            return
        answers.latencies_ms.append(usage.latency_ns / 1e6)
        answers.tokens_in += usage.tokens_in
        answers.tokens_out += usage.tokens_out
        answers.verdicts += [_verdict_of(p, f"{usage.backend}/{usage.model}") for p in outcome.verdicts]

    def _until(self, look: Callable[[], T | None], patience_s: float, otherwise: str) -> T:
        end_ns = self._clock.boot_ns() + int(patience_s * 1e9)
        while not (found := look()):
            if self._child.poll() is not None:
                msg = f"the gateway ended with exit code {self._child.returncode}; what it said stands above"
                raise BrainKernelError(msg)
            if self._clock.boot_ns() > end_ns:
                raise BrainKernelError(otherwise)
            select.select([self._asker], [], [], POLL_S)
            self._asker.on_readable()
        return found


@contextlib.contextmanager
def sitting(settings: Llm, clock: Clock) -> Iterator[Sitting]:
    """Start a gateway for `settings` alone, without rights, in a directory of its own; end it afterwards.

    Raises PermissionDeniedError for all but root: the gateway talks to nobody else's socket.
    """
    if os.geteuid() != 0:
        msg = "an exam decides what a model's verdicts may do: run it as root (--backend none needs no root)"
        raise PermissionDeniedError(msg)
    with tempfile.TemporaryDirectory(prefix="brainkernel-exam-") as made:
        directory = Path(made)
        directory.chmod(0o711)  # nobody must reach the socket
        file = directory / "exam.toml"
        file.write_text(_toml_of(settings), encoding="utf-8")
        figures = Figures()
        parent = os.getpid()
        asker = Asker(
            directory / GATEWAY_SOCKET,
            allows=lambda peer: _parent_of(peer.pid) == parent,
            figures=figures,
            snapshot=figures.snapshot,
            clock=clock,
        )
        child = _started(directory, file, parent)
        try:
            yield Sitting(asker, clock, child)
        finally:
            asker.close()
            child.terminate()
            try:
                child.wait(END_PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _started(directory: Path, file: Path, parent: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "brainkernel", "gateway", "--runtime-dir", str(directory), "--config", str(file)]
    command += ["--drop-privileges-to", UNPRIVILEGED_USER, "--end-with", str(parent)]
    package = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


# JSON's strings, numbers and booleans are TOML's too.
def _toml_of(settings: Llm) -> str:
    values = msgspec.to_builtins(settings)
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if isinstance(value, str | int | float)]
    return "\n".join(["[llm]", *lines, "[http]", 'listen = ""', ""])


def _parent_of(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    return int(stat.rpartition(")")[2].split()[1])  # proc_pid_stat(5): the name may hold blanks and brackets


def _note(answers: Answers, cause: str, count: int) -> None:
    answers.failures[cause] = answers.failures.get(cause, 0) + 1
    answers.verdicts += [None] * count


def _verdict_of(proposed: ProposedVerdict | None, model: str) -> Verdict | None:
    if proposed is None:
        return None
    return Verdict(category=proposed.category, confidence=proposed.confidence, tier=Tier.LLM, reason=proposed.reason, model=model)
