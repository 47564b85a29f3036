"""A decision needs a verdict, a symptom, a policy and the consent of every safety rule."""

from dataclasses import replace
from typing import Any

import pytest
from brainkernel.config import Approvals, CategoryPolicy, Config, Policy, Safety
from brainkernel.decide.approvals import Consent
from brainkernel.decide.decision import Circumstances, decide
from brainkernel.decide.safety import PROTECTED_EXES, RULES, Surroundings
from brainkernel.model import (
    Category,
    Decision,
    DecisionKind,
    Evidence,
    Limit,
    Package,
    PackageState,
    ProcessKey,
    Standing,
    Suspect,
    Unit,
    Verdict,
)
from support.nouns import SECOND_NS, a_standing, a_suspect, a_symptom, a_verdict

OURS = 42
PROTECTING = Config(safety=Safety(protected_packages=("precious",)))


def surroundings(suspect: Suspect, *, standing: Standing | None = None, gone: bool = False, **changes: Any) -> Surroundings:
    plain: dict[str, Any] = {
        "suspect": suspect,
        "standing": None if gone else standing or a_standing(),
        "ancestor_exes": ("/usr/bin/bash",),
        "own": frozenset({OURS}),
        "limits_last_minute": 0,
        "limits_active": 0,
    }
    return Surroundings(**(plain | changes))


def decided(
    suspect: Suspect | None = None,
    verdict: Verdict | None = None,
    *,
    config: Config | None = None,
    hurts: bool = True,
    consent: Consent = Consent.ASK,
    first_time: bool = False,
    victim_waits_pct: float = 20.0,
    **changes: Any,
) -> Decision:
    suspect = suspect or a_suspect()
    circumstances = Circumstances(
        id=1,
        time_ns=0,
        symptom=a_symptom(victims=(replace(a_symptom().victims[0], wait_pct=victim_waits_pct),)) if hurts else None,
        surroundings=surroundings(suspect, **changes),
        consent=consent,
        first_time=first_time,
        lease_ns=60 * SECOND_NS,
        enforce=True,
    )
    return decide(suspect, verdict or a_verdict(), circumstances, config or PROTECTING)


def test_a_background_job_that_hurts_is_limited() -> None:
    """All four factors say yes: the first step of the ladder is proposed, with a lease."""
    decision = decided()

    assert decision.kind is DecisionKind.LIMIT
    assert decision.limit == Limit(cpu_weight=20)
    assert decision.acts
    assert decision.lease_ns == 60 * SECOND_NS


def test_a_verdict_alone_never_acts() -> None:
    """The surest miner that hurts nobody is noted, not limited."""
    decision = decided(verdict=a_verdict(Category.SUSPICIOUS, 1.0), hurts=False)

    assert decision.kind is DecisionKind.NOTE
    assert decision.limit is None
    assert not decision.acts


@pytest.mark.parametrize("category", [Category.UNKNOWN, Category.SYSTEM_CRITICAL, Category.INTERACTIVE, Category.SERVICE])
def test_what_is_unknown_or_serves_people_is_left_alone(category: Category) -> None:
    """No symptom makes these limitable under the policy as shipped."""
    decision = decided(verdict=a_verdict(category, 1.0))

    assert decision.kind is DecisionKind.LEAVE
    assert decision.limit is None


def test_observe_mode_computes_the_limit_and_does_not_act() -> None:
    """What would be done is shown; nothing may be written."""
    suspect = a_suspect()
    circumstances = Circumstances(id=1, time_ns=0, symptom=a_symptom(), surroundings=surroundings(suspect), enforce=False)

    decision = decide(suspect, a_verdict(), circumstances, Config())

    assert decision.limit == Limit(cpu_weight=0)
    assert not decision.acts


def test_an_uncertain_verdict_does_not_limit() -> None:
    """Below the confidence of the policy the refusal is named."""
    decision = decided(verdict=a_verdict(confidence=0.5))

    assert decision.kind is DecisionKind.REFUSED
    assert [r.rule for r in decision.refusals] == ["confidence"]


def test_a_model_without_an_exam_may_only_be_shown() -> None:
    """Its verdict is kept and explained, and limits nothing."""
    decision = decided(verdict=a_verdict(may_act=False, model="ollama/tiny"))

    assert decision.kind is DecisionKind.REFUSED
    assert decision.refusals[0].rule == "exam"


def test_a_category_that_needs_approval_is_not_limited_without_it() -> None:
    """A policy with approval waits for a person."""
    config = Config(policy=Policy(background=CategoryPolicy(limits=("idle",), approval=True)))

    decision = decided(config=config)

    assert (decision.kind, decision.limit, decision.acts) == (DecisionKind.PENDING, Limit(cpu_weight=0), False)


@pytest.mark.parametrize(
    ("approvals", "confidence", "first_time", "kind"),
    [
        (Approvals(below_confidence=0.8), 0.79, False, DecisionKind.PENDING),
        (Approvals(below_confidence=0.8), 0.8, False, DecisionKind.LIMIT),
        (Approvals(below_confidence=0.8), 0.6, False, DecisionKind.REFUSED),
        (Approvals(first_time=True), 0.9, True, DecisionKind.PENDING),
        (Approvals(first_time=True), 0.9, False, DecisionKind.LIMIT),
        (Approvals(), 0.71, True, DecisionKind.LIMIT),
    ],
    ids=["in the band", "above it", "too unsure even to ask", "first time", "not the first", "nothing asked for"],
)
def test_a_risky_limit_waits_for_a_person(approvals: Approvals, confidence: float, first_time: bool, kind: DecisionKind) -> None:
    """By how sure the verdict is, and by whether the program was ever limited; with a yes it is limited."""
    config = Config(approvals=approvals)
    asked = decided(verdict=a_verdict(confidence=confidence), config=config, first_time=first_time)
    allowed = decided(verdict=a_verdict(confidence=confidence), config=config, first_time=first_time, consent=Consent.ALLOWED)

    assert asked.kind is kind
    assert ("waits for a person's approval: " in asked.reason) is (kind is DecisionKind.PENDING)
    assert allowed.kind is (DecisionKind.REFUSED if kind is DecisionKind.REFUSED else DecisionKind.LIMIT)


@pytest.mark.parametrize("consent", [Consent.DENIED, Consent.SILENT, Consent.WAITS, Consent.FULL])
def test_a_no_holds_where_nobody_would_have_been_asked(consent: Consent) -> None:
    """A person's denial does; that nobody answered about something else does not."""
    decision = decided(consent=consent)

    assert (decision.kind is DecisionKind.REFUSED) is (consent is Consent.DENIED)


def test_a_limit_begins_at_the_lightest_step() -> None:
    """The others are there for who tends it."""
    decision = decided()

    assert decision.limit == decision.ladder[0]
    assert decision.ladder == (Limit(cpu_weight=20), Limit(cpu_weight=0), Limit(cpu_weight=0, cpu_quota_pct=20.0))


OBJECTIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("gone", {}, {"gone": True}),
    ("init", {"key": ProcessKey(1, 0)}, {}),
    ("kernel_thread", {}, {"standing": a_standing(flags=0x00208040)}),
    ("ourselves", {"key": ProcessKey(OURS, 0)}, {}),
    ("protected_exe", {"exe": "/usr/sbin/sshd"}, {}),
    ("protected_package", {"evidence": Evidence(package=Package(name="precious", state=PackageState.VERIFIED))}, {}),
    ("protected_unit", {"evidence": Evidence(unit=Unit(name="dbus.service"))}, {}),
    ("session_leader", {}, {"standing": a_standing(leads_session=True)}),
    ("terminal", {}, {"standing": a_standing(owns_terminal=True)}),
    ("decided_by_a_person", {}, {"standing": a_standing(nice=10)}),
    ("decided_by_a_person", {}, {"standing": a_standing(policy=5)}),
    ("decided_by_a_person", {}, {"standing": a_standing(affinity_restricted=True)}),
    ("decided_by_a_person", {}, {"standing": a_standing(io_priority=3 << 13)}),
    ("decided_by_a_person", {}, {"standing": a_standing(game_mode=True)}),
    *[
        ("decided_by_a_person", {}, {"ancestor_exes": ("/usr/bin/bash", exe)})
        for exe in ("/usr/games/gamemoderun", "/usr/bin/nice", "/usr/bin/chrt", "/usr/bin/taskset", "/usr/bin/ionice")
    ],
    ("rate_limit", {}, {"limits_last_minute": 10}),
    ("active_limit", {}, {"limits_active": 32}),
]


@pytest.mark.parametrize(("rule", "suspect", "around"), OBJECTIONS, ids=[f"{o[0]}-{i}" for i, o in enumerate(OBJECTIONS)])
def test_each_safety_rule_refuses_even_the_surest_verdict(rule: str, suspect: dict[str, Any], around: dict[str, Any]) -> None:
    """One objection is enough, it is named, and nothing is proposed."""
    decision = decided(a_suspect(**suspect), a_verdict(Category.SUSPICIOUS, 1.0), **around)

    assert decision.kind is DecisionKind.REFUSED
    assert rule in [r.rule for r in decision.refusals]
    assert decision.limit is None
    assert not decision.acts


def test_every_safety_rule_has_a_case_above() -> None:
    """A rule without a test is not in the table for long."""
    assert {rule.name for rule in RULES} == {case[0] for case in OBJECTIONS}


LADDER = CategoryPolicy(limits=("cpu_weight=20", "idle", "cpu_quota=20%"))


def test_what_a_person_works_with_may_be_nudged_and_never_capped() -> None:
    """Diplomatic immunity: of a ladder only its weights are open to a browser or an editor."""
    config = Config(policy=Policy(interactive=CategoryPolicy(limits=("cpu_weight=50", "cpu_weight=20 io_weight=20"))))

    decision = decided(verdict=a_verdict(Category.INTERACTIVE), config=config)

    assert decision.kind is DecisionKind.LIMIT
    assert decision.ladder == (Limit(cpu_weight=50), Limit(cpu_weight=20, io_weight=20))


@pytest.mark.parametrize("presents", ["/dev/dri/card0", "/dev/snd/pcmC0D0p", "/run/user/1000/wayland-0"])
def test_who_owns_display_or_sound_is_never_capped_whatever_it_is_taken_for(presents: str) -> None:
    """A verdict of background does not stop a video; a weight may nudge it."""
    config = Config(policy=Policy(background=LADDER))

    decision = decided(config=config, standing=a_standing(presents=presents))

    assert (decision.limit, decision.ladder) == (Limit(cpu_weight=20), (Limit(cpu_weight=20),))


def test_immunity_is_a_refusal_where_the_policy_has_caps_alone() -> None:
    """The reason is named."""
    config = Config(policy=Policy(background=CategoryPolicy(limits=("cpu_quota=20%",))))

    decision = decided(config=config, standing=a_standing(presents="/dev/snd/pcmC0D0p"))

    assert decision.kind is DecisionKind.REFUSED
    assert decision.refusals[0].rule == "immunity"
    assert "/dev/snd/pcmC0D0p" in decision.reason


@pytest.mark.parametrize(
    ("presents", "waits_pct", "first"),
    [
        ("", 29, Limit(cpu_weight=20)),
        ("", 30, Limit(cpu_weight=0)),
        ("/dev/snd/pcmC0D0p", 90, Limit(cpu_weight=20)),  # has no idle on its ladder
    ],
)
def test_strong_pain_begins_at_the_strongest_step_that_caps_nothing(presents: str, waits_pct: float, first: Limit) -> None:
    """Who stands in a run queue a third of the time does not wait until a weight was tried; the lighter steps remain for the way down."""
    decision = decided(config=Config(policy=Policy(background=LADDER)), standing=a_standing(presents=presents), victim_waits_pct=waits_pct)

    assert decision.limit == first
    assert decision.ladder[0] == Limit(cpu_weight=20)


def test_the_whole_ladder_goes_with_the_decision() -> None:
    """A configuration that is read again amid a limit does not change the steps that are left."""
    assert decided(config=Config(policy=Policy(background=LADDER))).ladder == (
        Limit(cpu_weight=20),
        Limit(cpu_weight=0),
        Limit(cpu_quota_pct=20),
    )


def test_an_impostor_is_not_protected_by_its_name() -> None:
    """A file in /tmp called sshd is not sshd, and neither is an sshd whose checksum is not the package's."""
    elsewhere = decided(a_suspect("/tmp/sshd"), a_verdict(Category.SUSPICIOUS, 1.0))
    modified = Evidence(package=Package(name="openssh-server", state=PackageState.MODIFIED))
    replaced = decided(a_suspect("/usr/sbin/sshd", evidence=modified), a_verdict(Category.SUSPICIOUS, 1.0))

    assert elsewhere.kind is DecisionKind.LIMIT
    assert replaced.kind is DecisionKind.LIMIT


@pytest.mark.parametrize("state", [PackageState.MODIFIED, PackageState.UNCHECKED])
def test_a_protected_package_protects_its_own_files_alone(state: PackageState) -> None:
    """A file that was changed, or whose checksum is not known, may be anything."""
    evidence = Evidence(package=Package(name="precious", state=state))

    assert decided(a_suspect(evidence=evidence)).kind is DecisionKind.LIMIT


@pytest.mark.parametrize("io_priority", [0, 2 << 13 | 4])
def test_the_usual_io_priority_is_nobodys_decision(io_priority: int) -> None:
    """Kernels differ in what they say of a process that nobody used ionice on."""
    assert decided(standing=a_standing(io_priority=io_priority)).kind is DecisionKind.LIMIT


def test_the_operators_own_lists_are_exact() -> None:
    """A protected path protects that path and nothing that merely contains it."""
    config = Config(safety=Safety(protected_exes=("/opt/db/server",)))

    assert decided(a_suspect("/opt/db/server"), config=config).kind is DecisionKind.REFUSED
    assert decided(a_suspect("/opt/db/server2"), config=config).kind is DecisionKind.LIMIT


def test_every_protected_exe_is_a_full_path() -> None:
    """Substrings and bare names protect impostors."""
    assert all(exe.startswith("/usr/") for exe in PROTECTED_EXES)
