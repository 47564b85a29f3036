"""Stored decisions under another configuration, through the command and a real database."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from brainkernel.classify.adjusting import Adjusting
from brainkernel.classify.features import BUCKETS
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.model import CLASSES, SHIPPED_FILE, LocalModel, ModelTier
from brainkernel.cli import main
from brainkernel.clock import SimulatedClock
from brainkernel.config import CategoryPolicy, Config, Policy, Safety, Symptoms
from brainkernel.config import Store as StoreConfig
from brainkernel.decide.simulation import resimulated
from brainkernel.learn.quality import Measure
from brainkernel.model import Category, Decision, DecisionKind, Judgement, JudgementSource, Limit, Refusal, Verdict
from brainkernel.simulating import simulate
from brainkernel.store import open_store
from support.nouns import a_suspect, a_symptom, a_verdict
from support.stores import a_decision

if TYPE_CHECKING:
    from pathlib import Path


def hurting(decision_id: int, exe: str, category: Category, kind: DecisionKind, *, confidence: float = 0.9, **changes: Any) -> Decision:
    return a_decision(
        decision_id, suspect=a_suspect(exe), verdict=a_verdict(category, confidence), symptom=a_symptom(), kind=kind, **changes,
    )  # fmt: skip


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A database with limits that were right, one that was wrong, and a doubt."""
    now_ns = time.time_ns()
    store = open_store(tmp_path / "state", StoreConfig(), SimulatedClock(0, now_ns), print)
    for number in range(1, 21):
        store.decisions.save(hurting(number, "/opt/indexer", Category.BACKGROUND, DecisionKind.LIMIT, time_ns=now_ns))
        word = Judgement(
            time_ns=now_ns, decision_id=number, source=JudgementSource.FEEDBACK, limited=True, act_right=number > 5, content=True
        )
        store.judgements.save(word)
    doubt = (Refusal(rule="confidence", reason="is only 0.60 sure"),)
    store.decisions.save(
        hurting(21, "/usr/bin/cc1", Category.DEVELOPMENT, DecisionKind.REFUSED, confidence=0.6, refusals=doubt, time_ns=now_ns)
    )
    store.decisions.save(a_decision(22, time_ns=now_ns))
    store.close()
    return tmp_path / "state"


def simulated(state_dir: Path, policy: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    file = state_dir.parent / "new.toml"
    file.write_text(policy)
    code = main(["simulate", "--policy", str(file), "--since", "7d", "--state-dir", str(state_dir), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_simulate_counts_what_a_bolder_policy_would_limit(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By category and program, and the doubt is gone."""
    code, found = simulated(state_dir, "[policy.development]\nlimits = ['idle']\nmin_confidence = 0.5\n", capsys)

    assert code == 0
    assert (found["decisions"], found["with_symptom"], found["limits_then"], found["limits_now"]) == (22, 21, 20, 21)
    assert found["would_be_limited"] == [{"category": "development", "exe": "/usr/bin/cc1", "decisions": 1}]
    assert found["would_not_be_limited"] == []


def test_simulate_turns_the_quality_with_the_decisions(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without those limits the five wrong ones are gone, and the fifteen right ones are missed."""
    code, found = simulated(state_dir, "[policy.background]\nlimits = []\n", capsys)

    assert code == 0
    assert found["would_not_be_limited"] == [{"category": "background", "exe": "/opt/indexer", "decisions": 20}]
    assert found["quality_then"]["false_positive"]["value"] == 0.25
    assert found["quality_now"]["false_positive"]["value"] is None
    assert (found["quality_then"]["false_negative"]["value"], found["quality_now"]["false_negative"]["value"]) == (0, 1)


def test_simulate_exits_1_when_a_protected_program_would_be_limited(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that drops a protected path is not loaded unseen."""
    store = open_store(state_dir, StoreConfig(), SimulatedClock(0, time.time_ns()), print)
    refusal = (Refusal(rule="protected_exe", reason="/opt/payments is on your list"),)
    store.decisions.save(hurting(23, "/opt/payments", Category.BACKGROUND, DecisionKind.REFUSED, refusals=refusal, time_ns=time.time_ns()))
    store.close()

    dropped, kept = simulated(state_dir, "", capsys), simulated(state_dir, "[safety]\nprotected_exes = ['/opt/payments']", capsys)

    assert dropped[0] == 1
    assert dropped[1]["protected"] == [{"category": "background", "exe": "/opt/payments", "decisions": 1}]
    assert (kept[0], kept[1]["protected"]) == (0, [])


def test_simulate_prints_for_people(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same in words; nothing of the database is changed."""
    file = state_dir.parent / "same.toml"
    file.write_text("")
    before = (state_dir / "state.db").read_bytes()

    code = main(["simulate", "--policy", str(file), "--state-dir", str(state_dir)])

    out = capsys.readouterr().out
    assert code == 0
    assert "limits: 20 as it was, 20 as it would be" in out
    assert "25 % (11-47)" in out
    assert (state_dir / "state.db").read_bytes() == before


def a_model(calls: Category) -> ModelTier:
    """A local model that is sure that everything is one thing."""
    changes = [(n, trait, 0.5 if of_class is calls else -0.5) for n, of_class in enumerate(CLASSES) for trait in range(BUCKETS)]
    adjusting = Adjusting(SHIPPED_FILE.read_bytes())
    adjusting.move(changes)
    return ModelTier(LocalModel(adjusting.file()), Knowledge(None))


def unknown(decision_id: int, exe: str) -> Decision:
    verdict = Verdict.unknown("nobody knows it")
    return a_decision(decision_id, suspect=a_suspect(exe), verdict=verdict, symptom=a_symptom(), kind=DecisionKind.LEAVE)


def said(decision_id: int, label: Category) -> Judgement:
    return Judgement(time_ns=1, decision_id=decision_id, source=JudgementSource.FEEDBACK, limited=False, category_right=False, label=label)


def test_simulate_with_another_model_judges_anew_what_only_a_model_could_know() -> None:
    """What was unknown would be limited, what a rule knew stays; and the words about categories count for it."""
    decisions = [unknown(n, f"/opt/a{n}") for n in range(1, 13)] + [hurting(20, "/opt/ruled", Category.SERVICE, DecisionKind.LEAVE)]
    words = [said(n, Category.BACKGROUND if n < 10 else Category.DEVELOPMENT) for n in range(1, 13)]

    found = simulate(decisions, words, Config(), a_model(Category.BACKGROUND).judge)

    assert (found.limits_then, found.limits_now) == (0, 12)
    assert {category for category, _ in found.more} == {"background"}
    assert found.renamed["unknown", "background", "/opt/a1"] == 1
    rates = [{r.measure: r.value for r in quality}[Measure.CORRECT_CLASSIFICATION] for quality in (found.quality_then, found.quality_now)]
    assert rates == [0.0, 0.75]
    assert not found.protected


def test_simulate_flags_what_a_person_called_protected() -> None:
    """Although neither rules nor the model of then knew it."""
    decisions = [unknown(1, "/opt/browser"), unknown(2, "/opt/browser"), unknown(3, "/opt/index")]

    found = simulate(decisions, [said(2, Category.INTERACTIVE)], Config(), a_model(Category.BACKGROUND).judge)

    assert found.protected == {("background", "/opt/browser"): 2}


@pytest.mark.parametrize("content", [b"", b"NaN", SHIPPED_FILE.read_bytes()[:-8], SHIPPED_FILE.read_bytes()[:-8] + b"12345678"])
def test_simulate_with_a_model_that_is_none_exits_2(state_dir: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Garbage, cut off, or with changed weights: one line."""
    (state_dir / "m.bin").write_bytes(content)

    code = main(["simulate", "--model", str(state_dir / "m.bin"), "--state-dir", str(state_dir)])

    assert (code, "m.bin: not a local model" in capsys.readouterr().err) == (2, True)


def test_simulate_needs_something_to_try(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy, a model, or both."""
    neither = main(["simulate", "--state-dir", str(state_dir)])
    model = main(["simulate", "--model", str(SHIPPED_FILE), "--state-dir", str(state_dir), "--json"])

    assert (neither, model) == (2, 0)
    assert json.loads(capsys.readouterr().out)["by_category"] == {}


def test_simulate_without_a_database_says_where_it_looked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line and an exit code."""
    file = tmp_path / "new.toml"
    file.write_text("")

    code = main(["simulate", "--policy", str(file), "--state-dir", str(tmp_path)])

    assert code == 1
    assert "state.db: no such file" in capsys.readouterr().err


def an_idle_policy() -> Config:
    return Config(policy=Policy(background=CategoryPolicy(limits=("idle",))))


@pytest.mark.parametrize(
    ("decision", "config", "kind"),
    [
        (hurting(1, "/opt/a", Category.BACKGROUND, DecisionKind.LIMIT), Config(safety=Safety(protected_exes=("/opt/a",))), "refused"),
        (hurting(1, "/opt/a", Category.BACKGROUND, DecisionKind.LIMIT), Config(symptoms=Symptoms(pressure_pct=90)), "note"),
        (hurting(1, "/opt/a", Category.BACKGROUND, DecisionKind.LIMIT), Config(symptoms=Symptoms(victim_wait_pct=60)), "note"),
        (
            hurting(1, "/opt/a", Category.BACKGROUND, DecisionKind.REFUSED, refusals=(Refusal(rule="terminal", reason="owns it"),)),
            an_idle_policy(),
            "refused",
        ),
        (
            hurting(1, "/opt/a", Category.BACKGROUND, DecisionKind.LIMIT),
            Config(policy=Policy(background=CategoryPolicy(limits=("idle",), approval=True))),
            "pending",
        ),
        (a_decision(1), Config(), "note"),
    ],
    ids=["protected now", "harm too small", "victims too few", "safety stays", "approval", "nobody was hurt"],
)
def test_resimulated_changes_what_the_configuration_changes(decision: Decision, config: Config, kind: str) -> None:
    """And nothing else: what safety saw then still refuses."""
    again = resimulated(decision, config, 0.5)

    assert again.kind.value == kind
    assert not again.acts


def test_resimulated_takes_the_new_ladder() -> None:
    """The first step of the new policy."""
    decision = hurting(1, "/opt/a", Category.BACKGROUND, DecisionKind.LIMIT, limit=Limit(cpu_weight=20))

    assert resimulated(decision, an_idle_policy(), 0.5).limit == Limit(cpu_weight=0)
