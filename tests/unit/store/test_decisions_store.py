"""Decisions and what followed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.model import Category, DecisionKind, Evidence, Feedback, Outcome, Refusal, ReleaseResult
from brainkernel.store import Filter
from support.nouns import a_suspect
from support.stores import NOON_NS, a_decision, an_action, opened

if TYPE_CHECKING:
    from pathlib import Path

AN_OUTCOME = Outcome(
    action_id=1,
    window_ns=1,
    target_cpu_pct_before=100,
    target_cpu_pct_after=20,
    pressure_pct_before=60,
    pressure_pct_after=5,
    victim="mysqld",
    victim_wait_pct_before=50,
    victim_wait_pct_after=5,
    helped=True,
)


def test_decisions_survive_a_restart_with_all_that_was_attached(tmp_path: Path) -> None:
    """After a restart `explain` tells the whole story: limit, refusals, effect, end, what people said."""
    feedback = Feedback(time_ns=NOON_NS, good=False, label=Category.SERVICE, text="our backup")
    refusal = Refusal(rule="cgroup_version", reason="v1")
    with opened(tmp_path) as first:
        decisions = first.store.decisions
        decisions.save(a_decision(kind=DecisionKind.LIMIT))
        decisions.attach_action(an_action())
        decisions.attach_refusals(1, (refusal,))
        decisions.attach_outcome(AN_OUTCOME)
        decisions.attach_release(1, ReleaseResult.RESTORED, NOON_NS + 5)
        decisions.attach_feedback(1, feedback)

    with opened(tmp_path) as second:
        record = second.store.decisions.get(1)

    assert record is not None
    assert record.decision == a_decision(kind=DecisionKind.LIMIT)
    assert record.action == an_action()
    assert (record.refusals, record.outcome, record.feedback) == ((refusal,), AN_OUTCOME, (feedback,))
    assert (record.release, record.released_ns, record.active) == (ReleaseResult.RESTORED, NOON_NS + 5, False)


def test_decisions_give_ids_that_none_had(tmp_path: Path) -> None:
    """Neither a restart nor the ledger of a lost database leads to an id used twice."""
    with opened(tmp_path) as first:
        first.store.decisions.save(a_decision(first.store.decisions.next_id()))
        first.store.decisions.save(a_decision(first.store.decisions.next_id()))

    with opened(tmp_path) as second:
        after_restart = second.store.decisions.next_id()
        second.store.decisions.begin_after(57)
        after_ledger = second.store.decisions.next_id()

    assert (after_restart, after_ledger) == (3, 58)


def test_save_again_replaces_the_decision_and_keeps_what_was_attached(tmp_path: Path) -> None:
    """A late verdict does not make the limit be forgotten."""
    with opened(tmp_path) as opened_store:
        decisions = opened_store.store.decisions
        decisions.save(a_decision())
        decisions.attach_action(an_action())

        decisions.save(a_decision(reason="the LLM answered"))

        record = decisions.get(1)
    assert record is not None
    assert (record.decision.reason, record.action) == ("the LLM answered", an_action())


def test_page_filters_and_goes_back_in_time(tmp_path: Path) -> None:
    """Newest first, by kind, category, pid, part of the name, and before an id."""
    with opened(tmp_path) as opened_store:
        decisions = opened_store.store.decisions
        for number in range(1, 7):
            kind = DecisionKind.LIMIT if number % 2 else DecisionKind.NOTE
            decisions.save(a_decision(number, f"/usr/bin/tool{number}", kind=kind))
        decisions.attach_action(an_action(3))
        decisions.attach_action(an_action(5))
        decisions.attach_release(5, ReleaseResult.GONE, 1)

        def ids(limit: int = 10, **where: object) -> list[int]:
            return [r.decision.id for r in decisions.page(limit, Filter(**where))]  # type: ignore[arg-type]

        assert ids(2) == [6, 5]
        assert ids(2, before_id=5) == [4, 3]
        assert ids(kind=DecisionKind.LIMIT) == [5, 3, 1]
        assert ids(category=Category.SERVICE) == []
        assert ids(active_only=True) == [3] == [r.decision.id for r in decisions.active()]
        assert ids(text="tool4") == [4] == [r.decision.id for r in decisions.find("tool4")]
        assert len(decisions.find("4711")) == 6
        assert decisions.find("%") == []


def test_limit_that_no_ledger_knows_any_more_has_ended(tmp_path: Path) -> None:
    """After a reboot, or after `release --all` without a daemon, nothing is called active but what the ledger still has."""
    with opened(tmp_path) as there:
        for number in (1, 2):
            there.store.decisions.save(a_decision(number))
            there.store.decisions.attach_action(an_action(number))

        there.store.decisions.settle({2}, NOON_NS)

        assert [record.decision.id for record in there.store.decisions.active()] == [2]
        ended = there.store.decisions.get(1)
        assert ended is not None
        assert (ended.release, ended.released_ns) == (ReleaseResult.GONE, NOON_NS)


def test_active_counts_a_limit_that_could_not_be_released(tmp_path: Path) -> None:
    """FAILED is not the end of a limit."""
    with opened(tmp_path) as opened_store:
        decisions = opened_store.store.decisions
        decisions.save(a_decision())
        decisions.attach_action(an_action())

        decisions.attach_release(1, ReleaseResult.FAILED, 1)

        assert [r.active for r in decisions.active()] == [True]


def test_prune_keeps_the_newest_and_whatever_stands(tmp_path: Path) -> None:
    """The disk is bounded, and a limit that stands can always be explained."""
    with opened(tmp_path, decisions_max=100) as opened_store:
        decisions = opened_store.store.decisions
        for number in range(1, 301):
            decisions.save(a_decision(number))
            if number == 5:
                decisions.attach_action(an_action(5))
                decisions.attach_feedback(4, Feedback(time_ns=1, good=True))
        decisions.prune()

        kept = [r.decision.id for r in decisions.page(1000)]
        said = opened_store.store.database.rows("SELECT count(*) FROM feedback")

    assert kept == [*range(300, 200, -1), 5]
    assert said == [(0,)]


def test_decisions_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    """One damaged row costs one row."""
    with opened(tmp_path) as opened_store:
        decisions = opened_store.store.decisions
        for number in (1, 2, 3):
            decisions.save(a_decision(number))
        opened_store.store.database.write("UPDATE decisions SET decision = x'7b' WHERE id = 2")

        assert [r.decision.id for r in decisions.page(10)] == [3, 1]
        assert decisions.get(2) is None
        assert decisions.unreadable == 2


def test_decisions_take_a_command_line_of_two_megabytes_in_any_bytes(tmp_path: Path) -> None:
    """What a hostile process puts on its command line is stored escaped and bounded."""
    suspect = a_decision().suspect
    argv = ("x\udc80\x1b[2J\n" * 1000,) * 300
    program = type(suspect.program)(exe="/tmp/\udcff", argv=argv, comm="\x00")
    hostile = a_decision(suspect=type(suspect)(key=suspect.key, program=program, identity=suspect.identity, reasons=(), seen_ns=1))
    with opened(tmp_path) as opened_store:
        opened_store.store.decisions.save(hostile)

        [record] = opened_store.store.decisions.find("\udcff")
        [(size,)] = opened_store.store.database.rows("SELECT length(decision) FROM decisions")

    assert record.decision.suspect.program.exe == "/tmp/\\xff"
    assert record.decision.suspect.program.argv[-1].endswith("more arguments)")
    assert size < 200_000


def test_was_limited_knows_programs_and_scripts_apart(tmp_path: Path) -> None:
    """A limit on one script says nothing of another of the same interpreter; a refused one is none."""
    scripts = {name: a_suspect("/usr/bin/python3", evidence=Evidence(script=name)) for name in ("/opt/a.py", "/opt/b.py")}
    with opened(tmp_path) as host:
        decisions = host.store.decisions
        decisions.save(a_decision(1, suspect=scripts["/opt/a.py"]))
        decisions.attach_action(an_action(1))
        decisions.save(a_decision(2, suspect=scripts["/opt/b.py"]))
        decisions.save(a_decision(3, "/usr/bin/tool"))
        decisions.attach_action(an_action(3))

        suspects = [*scripts.values(), a_suspect("/usr/bin/tool"), a_suspect("/usr/bin/python3"), a_suspect("/never/seen")]
        assert [decisions.was_limited(suspect) for suspect in suspects] == [True, False, True, False, False]


def test_was_limited_leaves_out_a_decision_that_cannot_be_read(tmp_path: Path) -> None:
    """One damaged row is one program less that is known to have been limited, and not the end of the whole database."""
    with opened(tmp_path) as host:
        for decision_id in (1, 2):
            host.store.decisions.save(a_decision(decision_id, "/usr/bin/tool"))
            host.store.decisions.attach_action(an_action(decision_id))
        host.store.database.write("UPDATE decisions SET decision = CAST('{' AS BLOB) WHERE id = 1", ())
        host.store.flush()

        assert host.store.decisions.was_limited(a_suspect("/usr/bin/tool"))
        assert not host.store.decisions.was_limited(a_suspect("/never/seen"))
        assert host.store.decisions.count() == 2
    assert not list(tmp_path.glob("*.corrupt-*"))
