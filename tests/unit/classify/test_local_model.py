"""The local model: sure or silent, never talked into calling a hidden thing harmless, and harmless to what is protected."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import orjson
import pytest
from brainkernel.classify.facts import Facts
from brainkernel.classify.features import BUCKETS, TRAITS_MAX, traits_of
from brainkernel.classify.knowledge import Knowledge
from brainkernel.classify.model import CLASSES, SHIPPED_FILE, LocalModel, ModelTier, file_of
from brainkernel.classify.ruleset import SHIPPED_RULES, load
from brainkernel.classify.tiers import RulesTier, classify
from brainkernel.errors import ConfigError
from brainkernel.model import Category, Evidence, Mark, Program, Tier, Unit
from hypothesis import given
from hypothesis import strategies as st
from support.held_out import is_held_out
from support.labelled import Figures, figures_of
from support.nouns import a_suspect
from vm.inside.units import STRANGER, STRANGERS_UNIT

ROOT = Path(__file__).parents[3]
texts = st.text(max_size=60)


@cache
def tier() -> ModelTier:
    """The shipped model, mapped once."""
    return ModelTier(LocalModel(), Knowledge())


@cache
def held_out() -> tuple[Figures, Figures, Figures]:
    """What the model alone, the rules alone, and both say of the labelled programs that training never saw."""
    lines = (ROOT / "tests/golden/programs_labelled.jsonl").read_bytes().splitlines()
    kept = [line for line in lines if is_held_out(orjson.loads(line))]
    assert len(kept) > 400
    rules = RulesTier(load((SHIPPED_RULES,)))
    return figures_of(kept, [tier()]), figures_of(kept, [rules]), figures_of(kept, [rules, tier()])


def test_shipped_model_is_what_training_makes_of_this_tree(tmp_path: Path) -> None:
    """Byte for byte: who changes a rule, its examples, a trait or a label runs `./scripts/train model` and commits what it makes."""
    made = tmp_path / "model.bin"
    command = [sys.executable, "scripts/model/train.py", "--labelled", "tests/golden/programs_labelled.jsonl", "--output", str(made)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": "tests"}, check=True, capture_output=True)

    assert LocalModel(made).description == LocalModel().description
    assert made.read_bytes() == SHIPPED_FILE.read_bytes()


def test_model_leaves_suspicion_to_the_rules() -> None:
    """What root types looks like an attack to it; of seven false alarms of its own not one was worth the two attacks it found."""
    assert LocalModel().description.thresholds[Category.SUSPICIOUS] > 1


def test_model_is_right_where_it_answers_on_what_it_never_saw() -> None:
    """95 % of its answers are right; how much it answers is another matter."""
    alone, _, _ = held_out()
    answered = alone.right + len(alone.wrong)

    assert answered > 40
    assert alone.right >= 0.95 * answered, alone.wrong


@pytest.mark.parametrize(
    ("exe", "category"), [(str(STRANGER), Category.UNKNOWN), (f"/opt{STRANGER}", Category.SERVICE)], ids=["elsewhere", "below /opt"]
)
@pytest.mark.parametrize("exe_age_s", [0, 3600])
def test_main_process_of_a_unit_is_left_to_an_llm_where_no_services_lie(exe: str, category: Category, exe_age_s: int) -> None:
    """What the VM's story of the language model stands on: below /opt the rules know a service, and nobody is asked."""
    evidence = Evidence(unowned=True, exe_age_s=exe_age_s, unit=Unit(name=STRANGERS_UNIT, slice="system.slice"))
    cgroup = f"/system.slice/{STRANGERS_UNIT}"
    suspect = a_suspect(exe, evidence=evidence, parents=("/usr/lib/systemd/systemd",), uid=0, cwd="/", cgroup=cgroup)

    found = classify(suspect, [RulesTier(load((SHIPPED_RULES,))), tier()])

    assert found.category is category


def test_model_does_no_harm_to_what_is_protected() -> None:
    """Neither alone nor behind the rules does it call a server or a desktop background, bloatware or suspicious."""
    alone, _, both = held_out()

    assert alone.harmed == both.harmed == []
    assert alone.false_alarms == both.false_alarms == []


def test_model_takes_nothing_from_the_rules() -> None:
    """Rules are asked first: with the model behind them no figure falls."""
    _, rules, both = held_out()

    assert both.right >= rules.right
    assert both.found >= rules.found
    assert len(both.wrong) == len(rules.wrong)


def test_model_knows_the_looks_of_a_vendors_crash_handler() -> None:
    """Of what neither rules nor packages know, the telling names and arguments are enough."""
    suspect = a_suspect(
        "/opt/nimbus/lib/nimbus-telemetry", argv=("/opt/nimbus/lib/nimbus-telemetry", "--url=https://telemetry.nimbus.com/v1"), uid=1000
    )

    verdict = tier().judge(suspect)

    assert verdict is not None
    assert (verdict.category, verdict.tier) == (Category.BLOATWARE, Tier.MODEL)
    assert verdict.model.startswith("local/")
    assert 0.85 <= verdict.confidence <= 1


def test_model_passes_on_a_name_that_says_nothing() -> None:
    """Where it cannot know it leaves the answer to the next tier."""
    assert tier().judge(a_suspect("/home/alice/x/qzv", argv=("./qzv",), uid=1000)) is None


@pytest.mark.parametrize("mark", [Mark.MEMFD, Mark.DELETED, Mark.WORLD_WRITABLE_DIR, Mark.HIDDEN_DIR, Mark.ARGV0_MISMATCH])
def test_model_calls_nothing_harmless_that_hides(mark: Mark) -> None:
    """A program that hides where it comes from is not cleared by looking like a web server."""
    argv = ("/opt/nimbus/lib/nimbus-telemetry", "--url=https://telemetry.nimbus.com/v1")
    suspect = a_suspect(argv[0], argv=argv, uid=1000, evidence=Evidence(marks=frozenset({mark})))

    verdict = tier().judge(suspect)

    assert verdict is None or verdict.category is Category.SUSPICIOUS


@given(
    st.builds(
        Program, exe=texts, argv=st.lists(texts, max_size=80).map(tuple), parents=st.lists(texts, max_size=9).map(tuple), cgroup=texts
    )
)
def test_any_program_has_bounded_traits_and_probabilities(program: Program) -> None:
    """Hostile strings cost bounded work, overflow no lane and raise nothing."""
    traits = traits_of(Facts(program, Evidence(), Knowledge(None)))

    assert 0 < len(traits) <= TRAITS_MAX
    assert len(set(traits)) == len(traits)
    assert all(0 <= t < BUCKETS for t in traits)
    assert sum(LocalModel().probabilities(traits)) == pytest.approx(1.0)


def test_file_that_is_no_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """A cut or foreign file is named, and how to make a good one."""
    file = tmp_path / "model.bin"
    for data in (b"", b"something else entirely", file_of(b"{}", b""), SHIPPED_FILE.read_bytes()[:-8]):
        file.write_bytes(data)

        with pytest.raises(ConfigError, match="scripts/train model"):
            LocalModel(file)


def test_shipped_weights_are_small_and_cover_every_category() -> None:
    """Under 2 MB, and a threshold for each answer."""
    assert SHIPPED_FILE.stat().st_size < 2_000_000
    assert set(LocalModel().description.thresholds) == set(CLASSES)
