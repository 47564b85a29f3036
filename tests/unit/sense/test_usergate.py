from __future__ import annotations

from brainkernel.model import Exec, FileId, ProcessKey
from brainkernel.sense.usergate import Fate, UserGate
from msgspec.structs import replace

START = Exec(
    time_ns=1,
    key=ProcessKey(10, 0),
    exe="/usr/bin/thing",
    file=FileId(1, 2, 3),
    parent=ProcessKey(5, 0),
    parent_exe="/usr/bin/sh",
    parent_file=FileId(1, 9, 9),
    uid=1000,
)


def test_known_program_is_counted_and_another_identity_is_not() -> None:
    """This file, from this parent, for this user; whatever differs is submitted."""
    gate = UserGate(all_events=False)
    gate.remember(START.identity, always=False)

    fates = [
        gate.of_exec(START),
        gate.of_exec(replace(START, key=ProcessKey(11, 0), uid=0)),
        gate.of_exec(replace(START, key=ProcessKey(12, 0), file=FileId(1, 2, 4))),
        gate.of_exec(replace(START, key=ProcessKey(13, 0), parent_file=FileId(1, 8, 9))),
        gate.of_exec(replace(START, key=ProcessKey(14, 0), file=None)),
    ]

    assert fates == [Fate.KNOWN] + [Fate.SUBMITTED] * 4
    assert gate.counters().mismatches() == []


def test_tracked_process_that_becomes_a_known_program_is_submitted() -> None:
    """User space was told of a shell; it must not blame the shell for what the shell turned into."""
    gate = UserGate(all_events=False)
    gate.remember(START.identity, always=False)
    shell = replace(START, file=FileId(1, 9, 9))

    assert (gate.of_exec(shell), gate.of_exec(START)) == (Fate.SUBMITTED, Fate.SUBMITTED)


def test_children_of_ours_are_ours_until_they_end() -> None:
    """A pid that is used again by somebody else is not ours any more."""
    gate = UserGate(all_events=True)
    gate.exclude(1)

    assert gate.of_fork(2, 1) is Fate.OWN
    assert gate.is_own(2)
    assert gate.of_exit(2) is Fate.OWN
    assert gate.of_fork(2, 7) is Fate.SUBMITTED


def test_remembered_programs_are_bounded() -> None:
    """The oldest one is forgotten, and reported again."""
    gate = UserGate(all_events=False)
    gate.remember(START.identity, always=False)

    many = [(replace(START, file=FileId(2, i, 0)).identity, False) for i in range(1, 16385)]
    taken = gate.remember_many(many)

    assert taken == 16384
    assert gate.of_exec(START) is Fate.SUBMITTED
