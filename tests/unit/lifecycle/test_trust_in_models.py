"""What a model's verdicts may do: as its exam says, never as its gateway says."""

from __future__ import annotations

import socket
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from brainkernel.asking import Asking
from brainkernel.classify.model import LocalModel, ModelTier
from brainkernel.classify.ruleset import RuleSet
from brainkernel.classify.tiers import CacheTier, RulesTier
from brainkernel.cli.render import status_lines
from brainkernel.cli.terminal import Style
from brainkernel.composition.ground import Ground, Paths
from brainkernel.composition.tiers import Tiers
from brainkernel.config import Config, Llm
from brainkernel.effective import Arms, Effective, Standards
from brainkernel.gateway.llm.prompt import PROMPT_VERSION
from brainkernel.link.asker import Asker
from brainkernel.link.control import LlmUse
from brainkernel.link.frames import FrameBuffer, decode, frame_of
from brainkernel.link.messages import Answers, Ask, Hello, ProposedVerdict, Usage
from brainkernel.metrics import Figures
from brainkernel.model import Category, ExamResult, Tier, Verdict
from brainkernel.report import Everybody
from support.control_side import STATUS
from support.nouns import SECOND_NS, a_suspect
from support.stores import opened
from support.versions import EMPTY_KNOWLEDGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from brainkernel.model import Suspect
    from support.stores import Opened

PASSED = ExamResult(backend="ollama", model="wise:1b", prompt_version=PROMPT_VERSION, time_ns=1, passed=True, asked=244)
FAILED = replace(PASSED, passed=False, failures=("harm 12.0 % is above 1 %: a server that is slowed down",))


class Room:
    """An agent's questions, and a gateway that boasts at the other end of the socket."""

    def __init__(self, asking: Asking, asker: Asker, gateway: socket.socket, store: Opened) -> None:
        self.asking, self._asker, self._gateway, self._store = asking, asker, gateway, store

    def pass_hours(self, hours: int) -> None:
        self._store.clock.advance_to(self._store.clock.boot_ns() + hours * 3600 * SECOND_NS)

    def batches(self) -> list[Ask]:
        """What the gateway is sent of all that waits."""
        self._store.clock.advance_to(self._store.clock.boot_ns() + SECOND_NS)
        assert self.asking.collect() == []
        return [decode(body, Ask) for body in FrameBuffer().feed(self._gateway.recv(1 << 16))]

    def verdict(self, *, by: str = "wise:1b", backend: str = "ollama", category: Category = Category.BACKGROUND) -> Verdict:
        """Have a program judged by a model."""
        assert self.asking.ask(a_suspect("/opt/x/x"))
        self._store.clock.advance_to(self._store.clock.boot_ns() + SECOND_NS)
        assert self.asking.collect() == []
        (body,) = FrameBuffer().feed(self._gateway.recv(1 << 16))
        ask = decode(body, Ask)
        proposed = ProposedVerdict(category, 0.99, "trust me")
        self._gateway.sendall(frame_of(Answers(ask.id, (proposed,), usage=Usage(backend, by, 5))))
        self._asker.on_readable()
        ((_, verdict),) = self.asking.collect()
        return verdict


@contextmanager
def a_room(directory: Path, config: Llm | None = None, *results: ExamResult) -> Iterator[Room]:
    """The parts, with a gateway connected that claims to have passed."""
    with opened(directory / "state") as store:
        for result in results:
            store.store.exams.save(result)
        figures = Figures()
        asker = Asker(directory / "g.sock", allows=lambda _: True, figures=figures, snapshot=figures.snapshot, clock=store.clock)
        asking = Asking(
            asker=asker, clock=store.clock, config=config or Llm(), exams=store.store.exams, remember=lambda _suspect, _verdict: None
        )
        with closing(asker), socket.socket(socket.AF_UNIX) as gateway:
            gateway.connect(str(directory / "g.sock"))
            asker.on_readable()
            gateway.sendall(frame_of(Hello("ollama", "wise:1b", "it answers", exam_passed=True)))
            asker.on_readable()
            yield Room(asking, asker, gateway, store)


def test_programs_of_different_users_are_not_asked_about_together(tmp_path: Path) -> None:
    """A model reads a whole batch: what somebody's program says of itself must not sway the verdict on another's."""
    with a_room(tmp_path) as room:
        for uid, exe in ((0, "/usr/bin/a"), (1000, "/usr/bin/b"), (0, "/usr/bin/c")):
            assert room.asking.ask(a_suspect(exe, uid=uid))

        batches = room.batches()

    assert [[question.exe for question in batch.questions] for batch in batches] == [["/usr/bin/a", "/usr/bin/c"], ["/usr/bin/b"]]


def test_program_that_a_model_does_not_know_is_not_asked_about_for_an_hour(tmp_path: Path) -> None:
    """It may hurt others all day: each look at it would cost a question, and the budget of the hour with that."""
    with a_room(tmp_path) as room:
        assert room.verdict(category=Category.UNKNOWN).category is Category.UNKNOWN

        assert not room.asking.ask(a_suspect("/opt/x/x"))
        assert room.asking.ask(a_suspect("/opt/x/y"))
        room.batches()
        room.pass_hours(1)
        assert room.asking.ask(a_suspect("/opt/x/x"))


def test_program_that_a_fallback_does_not_know_is_asked_about_again(tmp_path: Path) -> None:
    """The model that is asked first may know more than the one that answered in its place."""
    with a_room(tmp_path) as room:
        room.verdict(by="foolish:1b", category=Category.UNKNOWN)

        assert room.asking.ask(a_suspect("/opt/x/x"))


def test_claim_of_the_gateway_is_not_believed(tmp_path: Path) -> None:
    """A gateway that says its model passed changes nothing."""
    with a_room(tmp_path) as room:
        verdict = room.verdict()
        use = room.asking.use()

    assert not verdict.may_act
    assert use.exam == "not examined yet: see `brainkernel exam`; its verdicts are shown and limit nothing"


def test_verdict_of_a_model_that_passed_may_act(tmp_path: Path) -> None:
    """The stored result decides, also after a restart."""
    with a_room(tmp_path, None, PASSED) as room:
        verdict = room.verdict()
        use = room.asking.use()

    assert verdict.may_act
    assert use.exam.startswith("passed (244 programs")


def test_pass_is_of_one_model_and_one_prompt(tmp_path: Path) -> None:
    """A fallback that answers in its place has not passed, nor has the same model under another prompt."""
    with a_room(tmp_path, None, PASSED, replace(PASSED, model="other:1b", prompt_version="0")) as room:
        assert not room.verdict(by="foolish:1b").may_act
        assert not room.verdict(by="other:1b").may_act


def test_gateway_cannot_answer_in_the_name_of_the_local_model(tmp_path: Path) -> None:
    """The pass of the rules and the local model is no language model's, though a gateway may call itself so."""
    local = replace(PASSED, backend="none", model="rules+local/8c2d44ef")
    with a_room(tmp_path, None, local) as room:
        assert not room.verdict(backend=local.backend, by=local.model).may_act


def test_result_that_comes_while_the_agent_runs_counts_at_once(tmp_path: Path) -> None:
    """`brainkernel exam` needs no restart, and a failed one takes the trust back."""
    with a_room(tmp_path) as room:
        assert "may limit" in room.asking.examined(PASSED)
        assert room.verdict().may_act

        assert room.asking.examined(FAILED).startswith("failed: harm 12.0 %")
        assert not room.verdict().may_act


def test_configuration_may_trust_a_model_in_spite_of_its_exam(tmp_path: Path) -> None:
    """`llm.may_act` is an explicit override, and status says that it is one."""
    with a_room(tmp_path, Llm(may_act=True), FAILED) as room:
        assert room.verdict().may_act
        assert room.asking.use().exam.endswith("they may limit all the same, by llm.may_act")


@contextmanager
def the_tiers(directory: Path, learned: list[Suspect], *results: ExamResult) -> Iterator[Tiers]:
    """The tiers as the agent has them, with the shipped local model alone, and what they would learn."""
    with opened(directory / "state") as store:
        for result in results:
            store.store.exams.save(result)
        ground = Ground(Config(llm=Llm(may_act=True)), Paths(state_dir=directory, runtime_dir=directory), store.clock, Everybody(()))
        effective = Effective(
            standards=Standards(config=ground.config),
            rules=RulesTier(RuleSet((), EMPTY_KNOWLEDGE)),
            model=ModelTier(LocalModel(), EMPTY_KNOWLEDGE),
        )
        tiers = Tiers(ground, store.store, Arms(effective), lambda suspect, _verdict: learned.append(suspect))
        with closing(tiers.asker):
            yield tiers


@pytest.mark.parametrize(("results", "teaches"), [((), False), ((FAILED,), False), ((PASSED,), True)])
def test_only_what_passed_its_exam_teaches(tmp_path: Path, results: tuple[ExamResult, ...], teaches: bool) -> None:
    """The local model learns from no other's verdicts, also where the configuration lets those limit."""
    learned: list[Suspect] = []
    with the_tiers(tmp_path, learned, *results) as tiers:
        verdict = Verdict(category=Category.BACKGROUND, confidence=0.9, tier=Tier.LLM, reason="r", model="ollama/wise:1b", may_act=True)
        tiers._remember(a_suspect(), verdict)

    assert bool(learned) is teaches


@pytest.mark.parametrize(("passed", "may_act"), [(None, True), (True, True), (False, False)])
def test_local_model_that_failed_its_exam_limits_nothing(tmp_path: Path, *, passed: bool | None, may_act: bool) -> None:
    """Its verdict is still shown: what the weights said of the program, and that nothing may follow."""
    shipped = f"rules+local/{LocalModel().description.version}"
    results = [] if passed is None else [replace(PASSED, backend="none", model=shipped, passed=passed)]
    handler = a_suspect("/opt/brave.com/brave/chrome_crashpad_handler", argv=("chrome_crashpad_handler", "--monitor-self"))
    with the_tiers(tmp_path, [], *results) as tiers:
        verdict = dict(tiers.in_order())["local_model"](handler)

    assert verdict is not None
    assert (verdict.category, verdict.tier, verdict.may_act) == (Category.BLOATWARE, Tier.MODEL, may_act)


def test_kept_verdict_may_only_what_its_model_may_today(tmp_path: Path) -> None:
    """A verdict from before the exam gains by a pass; one from before a failure loses."""

    class Kept:
        def __init__(self, verdict: Verdict) -> None:
            self.verdict = verdict

        def get(self, key: str) -> Verdict | None:
            return self.verdict

        def put(self, key: str, verdict: Verdict, ttl_s: float) -> None:
            raise AssertionError

        def forget(self, key: str) -> None:
            raise AssertionError

    of_llm = Verdict(category=Category.BACKGROUND, confidence=0.9, tier=Tier.LLM, reason="r", model="ollama/wise:1b", may_act=True)
    with a_room(tmp_path) as room:
        tier = CacheTier(Kept(of_llm), lambda verdict: room.asking.may_act(verdict.model))
        before = tier.judge(a_suspect())
        room.asking.examined(PASSED)
        after = tier.judge(a_suspect())

    assert before is not None
    assert after is not None
    assert (before.may_act, after.may_act) == (False, True)


def test_status_shows_what_the_verdicts_may_do() -> None:
    """A person sees beside the model's name whether it passed."""
    status = msgspec.structs.replace(STATUS, llm=LlmUse("ollama", "wise:1b", "it answers", exam="failed: harm 12.0 %"))

    lines = status_lines(status, Style(colour=False))

    assert "exam     failed: harm 12.0 %" in lines


def test_damaged_result_is_no_pass(tmp_path: Path) -> None:
    """What cannot be read was not passed; the others are still there."""
    with opened(tmp_path) as store:
        store.store.exams.save(PASSED)
        store.store.exams.save(replace(PASSED, model="second"))
        store.store.exams.save(replace(FAILED, model="second"))
        store.store.database.write("UPDATE exams SET result = ? WHERE model = 'wise:1b'", (b"{",))

        results = store.store.exams.all()

    assert [(r.model, r.passed) for r in results] == [("second", False)]
    assert results[0].failures == FAILED.failures


@pytest.mark.parametrize(("result", "failed"), [(None, False), (True, False), (False, True)])
def test_local_model_that_failed_its_exam_is_known_to_have(tmp_path: Path, *, result: bool | None, failed: bool) -> None:
    """Of weights that were never examined our own tests answer; of those that failed here nothing may follow, whatever the prompt."""
    local = replace(PASSED, backend="none", model="rules+local/8c2d44ef", prompt_version="0", passed=bool(result))
    with a_room(tmp_path, None, *([] if result is None else [local])) as room:
        assert room.asking.has_failed("none/rules+local/8c2d44ef") is failed
        assert not room.asking.has_failed("none/rules+local/00000000")
