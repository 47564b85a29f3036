"""When rules fire, resolve, wait, and keep quiet."""

from __future__ import annotations

from dataclasses import replace

from brainkernel.alerting.engine import NO_DATA_NS, RESOLVE_NS, Alert, Engine, State
from brainkernel.alerting.expression import parse
from brainkernel.alerting.outgoing import Outgoing
from brainkernel.alerting.rules import ActionName, AlertRule, Event, Severity

S = 10**9


def a_rule(name: str = "r", *, for_s: int = 0, on: Event | None = None, condition: str = "x > 1") -> AlertRule:
    return AlertRule(
        name=name,
        severity=Severity.ERROR,
        actions=(ActionName.LOG_ALERT,),
        condition=None if on else parse(condition, ("x",)),
        on=on,
        for_ns=for_s * S,
    )


def states(alerts: list[Alert]) -> list[State]:
    return [a.state for a in alerts]


def test_condition_fires_once_and_resolves_once() -> None:
    """Not at every tick, and not at the first good moment."""
    engine = Engine([a_rule()])

    assert states(engine.evaluate({"x": 2}, S)) == [State.FIRING]
    assert engine.evaluate({"x": 2}, 2 * S) == []
    assert engine.evaluate({"x": 0}, 3 * S) == []
    assert engine.evaluate({"x": 2}, 4 * S) == []
    assert engine.evaluate({"x": 0}, 5 * S) == []
    assert states(engine.evaluate({"x": 0}, 5 * S + RESOLVE_NS)) == [State.RESOLVED]
    assert engine.evaluate({"x": 0}, 6 * S + RESOLVE_NS) == []


def test_condition_fires_only_after_its_time() -> None:
    """`for`: without a break."""
    engine = Engine([a_rule(for_s=10)])

    assert engine.evaluate({"x": 2}, S) == []
    assert engine.evaluate({"x": 0}, 5 * S) == []
    assert engine.evaluate({"x": 2}, 6 * S) == []
    assert engine.evaluate({"x": 2}, 15 * S) == []
    assert states(engine.evaluate({"x": 2}, 16 * S)) == [State.FIRING]


def test_missing_figure_neither_fires_nor_resolves_at_once() -> None:
    """No data is no news; after ten minutes of it nothing is known any more."""
    engine = Engine([a_rule()])
    assert engine.evaluate({"x": None}, S) == []
    engine.evaluate({"x": 2}, 2 * S)

    assert engine.evaluate({"x": None}, 3 * S) == []
    assert engine.evaluate({"x": None}, 3 * S + RESOLVE_NS) == []
    assert states(engine.evaluate({"x": None}, 3 * S + NO_DATA_NS)) == [State.RESOLVED]


def test_event_of_one_program_is_told_once_per_cooldown_with_its_count() -> None:
    """A loop that starts the same thing a thousand times is one message."""
    engine = Engine([a_rule(on=Event.SUSPICIOUS_EXEC)])

    first = engine.event(Event.SUSPICIOUS_EXEC, "/tmp/x", "text", S)
    again = [engine.event(Event.SUSPICIOUS_EXEC, "/tmp/x", "text", S + n) for n in range(1000)]
    other = engine.event(Event.SUSPICIOUS_EXEC, "/tmp/y", "text", S)
    later = engine.event(Event.SUSPICIOUS_EXEC, "/tmp/x", "text", 400 * S)

    assert states(first) == states(other) == [State.EVENT]
    assert again == [[]] * 1000
    assert [a.count for a in later] == [1001]
    assert engine.event(Event.LIMIT_APPLIED, "/tmp/x", "text", S) == []


def test_rest_of_a_burst_is_told_when_the_cooldown_is_over() -> None:
    """What came after the first message is counted in a second one, although nothing more happens; and not acted on again."""
    engine = Engine([a_rule(on=Event.SUSPICIOUS_EXEC)])
    for n in range(1001):
        engine.event(Event.SUSPICIOUS_EXEC, "/tmp/x", f"start {n}", S + n)

    early = engine.rests(200 * S)
    (rest,) = engine.rests(400 * S)

    assert early == []
    assert (rest.state, rest.count, rest.text, rest.late) == (State.EVENT, 1000, "start 1000", True)
    assert engine.rests(800 * S) == []
    (fresh,) = engine.event(Event.SUSPICIOUS_EXEC, "/tmp/x", "later", 900 * S)
    assert (fresh.count, fresh.late) == (1, False)


def test_rest_of_a_burst_whose_rule_was_removed_is_forgotten() -> None:
    """Nobody wants to hear of it any more."""
    engine = Engine([a_rule(on=Event.SUSPICIOUS_EXEC)])
    for n in range(3):
        engine.event(Event.SUSPICIOUS_EXEC, "/tmp/x", "text", S + n)

    engine.replace([])

    assert engine.rests(400 * S) == []


def test_event_memory_is_bounded() -> None:
    """An attacker with a new path each time cannot grow us."""
    engine = Engine([a_rule(on=Event.SUSPICIOUS_EXEC)])

    for number in range(5_000):
        engine.event(Event.SUSPICIOUS_EXEC, str(number), "text", S)
        engine.event(Event.SUSPICIOUS_EXEC, str(number), "text", S)

    assert len(engine._told) <= 1024
    assert len(engine.rests(400 * S)) <= 1024


def test_reload_keeps_what_fires_and_resolves_what_is_gone() -> None:
    """A changed file neither repeats an alert nor leaves one standing."""
    engine = Engine([a_rule("kept"), a_rule("gone"), a_rule("changed")])
    engine.evaluate({"x": 2}, S)

    ended = engine.replace([a_rule("kept"), a_rule("changed", condition="x > 100")])

    assert {(a.rule.name, a.state) for a in ended} == {("gone", State.RESOLVED), ("changed", State.RESOLVED)}
    assert engine.evaluate({"x": 2}, 2 * S) == []


def test_reload_ends_what_a_changed_rule_had_done() -> None:
    """An action that is struck out while its alert fires is undone: the alert resolves with its old actions, and fires with the new."""
    before = replace(a_rule(), actions=(ActionName.LOG_ALERT, ActionName.PAUSE_SCHEDULING))
    engine = Engine([before])
    engine.evaluate({"x": 2}, S)

    (ended,) = engine.replace([a_rule()])

    assert (ended.state, ended.rule.actions) == (State.RESOLVED, before.actions)
    assert [a.rule.actions for a in engine.evaluate({"x": 2}, 2 * S)] == [(ActionName.LOG_ALERT,)]


class Message:
    def __init__(self, number: int) -> None:
        self.id = str(number)


def test_outgoing_keeps_until_acknowledged_and_counts_what_had_no_room() -> None:
    """A gateway that went away gets again what it did not confirm."""
    outgoing: Outgoing[Message] = Outgoing(3)
    added = [outgoing.add(Message(n)) for n in range(5)]

    batch = outgoing.unsent(2, S)
    outgoing.sent(batch, S)
    outgoing.acknowledged(["0", "unknown"])
    under_way = [m.id for m in outgoing.unsent(9, 2 * S)]
    outgoing.lost_connection()

    assert added == [True, True, True, False, False]
    assert [m.id for m in outgoing.unsent(9, 2 * S)] == ["1", "2"]
    assert under_way == ["2"]
    assert (outgoing.take_held_back(), outgoing.take_held_back()) == (2, 0)
