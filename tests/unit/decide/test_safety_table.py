"""The table of what keeps a limit from being set: complete, and each line of it shown by a test."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import brainkernel
import pytest
from brainkernel.cli import main
from brainkernel.decide.safety import ELSEWHERE, RULES

TESTS = Path(__file__).parents[2]
SOURCES = Path(brainkernel.__file__).parent
NO_REFUSALS = {"act", "systemd"}  # named by the error that they come from, in one expression
OBJECTION = "unit/decide/test_decision.py::test_each_safety_rule_refuses_even_the_surest_verdict"
PLACE = "unit/act/test_choice.py::test_route_is_refused_with_its_rule"

# Rule -> the test that fails without it.
SHOWN_BY = {
    **{rule.name: OBJECTION for rule in RULES},
    **dict.fromkeys(
        """
        cgroup_version sched_ext no_cgroup container administrator_limit unit_type service_manager inactive
        shell_with_terminal protected_inside too_many
        """.split(),
        PLACE,
    ),
    "immunity": "unit/decide/test_decision.py::test_immunity_is_a_refusal_where_the_policy_has_caps_alone",
    "confidence": "unit/decide/test_decision.py::test_an_uncertain_verdict_does_not_limit",
    "exam": "unit/decide/test_decision.py::test_a_model_without_an_exam_may_only_be_shown",
    "approval": "unit/decide/test_approvals.py::test_decision_follows_what_a_person_said",
    "denied": "unit/decide/test_approvals.py::test_decision_follows_what_a_person_said",
    "undone": "unit/learn/test_experience.py::test_a_person_who_undid_a_limit_is_kept_to_for_a_day",
    "useless": "unit/learn/test_experience.py::test_a_limit_that_helped_nobody_is_not_tried_again_at_once",
    "learned": "unit/learn/test_caution.py::test_caution_objects_to_what_was_wrong_before",
    "debounce": "flow/test_oversight.py::test_what_was_not_limited_is_judged_again_after_the_strategys_time",
    "no_effect": "unit/act/test_reach.py::test_a_weight_that_reaches_nobody_is_not_set",
    "mode": "unit/act/test_enforcer.py::test_nothing_is_written_without_leave",
    "already_limited": "unit/act/test_enforcer.py::test_a_unit_is_limited_once",
    "foreign": "unit/act/test_enforcer.py::test_step_stands_down_when_an_administrator_changed_it",
    "read_back": "unit/act/test_enforcer.py::test_apply_gives_up_and_undoes_when_the_cgroup_never_shows_the_limit",
    "busy": "unit/act/test_limiter.py::test_a_stale_decision_is_not_carried_out",
    "systemd": "unit/act/test_enforcer.py::test_a_bus_that_fails_leaves_nothing_behind",
    "act": "flow/test_act_faults.py::test_any_call_may_fail",
    "internal": "unit/act/test_limiter.py::test_a_protection_that_raises_is_a_refusal",
}


def refusals_in(source: Path) -> set[str]:
    """The names of rules with which a module refuses: Refusal(rule="x"), _refuse("x", ...), (holds, "x", lambda: why)."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="Refusal")):
                found |= {key.value.value for key in node.keywords if key.arg == "rule" and isinstance(key.value, ast.Constant)}
            case ast.Call(func=ast.Name(id="_refuse"), args=[ast.Constant(value=str(name)), *_]):
                found.add(name)
            case ast.Tuple(elts=[_, ast.Constant(value=str(name)), ast.Lambda()]):
                found.add(name)
    return {str(name) for name in found}


def test_every_refusal_in_the_code_stands_in_the_table() -> None:
    """Who reads the table has read all of it."""
    refused = set().union(*(refusals_in(source) for source in SOURCES.rglob("*.py"))) | NO_REFUSALS
    table = {rule.name for rule in RULES} | ELSEWHERE.keys()

    assert refused - table == set()
    assert table - refused - {rule.name for rule in RULES} == {"debounce"}  # no refusal: nothing is decided yet


@pytest.mark.parametrize("rule", sorted({rule.name for rule in RULES} | ELSEWHERE.keys()))
def test_every_rule_has_a_reason_and_a_test(rule: str) -> None:
    """The test is there under this name."""
    file, _, name = SHOWN_BY[rule].partition("::")
    tests = {node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)}

    assert name in tests
    assert len(({rule.name: rule.why for rule in RULES} | ELSEWHERE)[rule]) > 10


def test_doctor_shows_the_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With the reasons, for whoever wonders what may never happen."""
    config = tmp_path / "brainkernel.toml"
    config.write_text("")

    assert main(["doctor", "--protected", "--json", "--config", str(config)]) == 0

    rules = json.loads(capsys.readouterr().out)["rules"]
    assert "session_leader: a slowed shell is a person locked out" in rules
    assert len(rules) == len(RULES) + len(ELSEWHERE)
