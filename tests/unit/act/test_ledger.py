"""The ledger: what is on disk is enough to undo, whatever happened to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from brainkernel.act.ledger import COMPACT_AT_BYTES, LEDGER_FILE, Ledger
from brainkernel.errors import ActError
from brainkernel.model import Action, Change, Limit, ProcessKey, ReleaseResult, Route
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOT = "boot-1"
AN_ACTION = Action(
    id=1,
    target=ProcessKey(500, 10_000_000),
    comm="hog",
    route=Route.UNIT,
    unit="hog.service",
    cgroup="/system.slice/hog.service",
    cgroup_id=77,
    limit=Limit(cpu_quota_pct=20),
    changes=(Change("CPUQuotaPerSecUSec", "18446744073709551615", "200000"), Change("cpu.max", "", "20000 100000")),
    moved=(ProcessKey(500, 10_000_000),),
    started_ns=5,
    expires_ns=6,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path, BOOT)
    yield ledger
    ledger.close()


def reopened(directory: Path, boot_id: str = BOOT) -> Ledger:
    return Ledger(directory, boot_id)


def live_in(directory: Path, boot_id: str = BOOT) -> list[Action]:
    ledger = reopened(directory, boot_id)
    try:
        return [entry.action for entry in ledger.live.values()]
    finally:
        ledger.close()


def test_an_intent_survives_with_all_that_undo_needs(tmp_path: Path) -> None:
    """A crash right after it was put down finds the same action again."""
    ledger = Ledger(tmp_path, BOOT)
    ledger.intend(AN_ACTION)
    ledger.close()

    assert live_in(tmp_path) == [AN_ACTION]


def test_an_intent_is_synced_before_it_counts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """On disk first, written to the host then."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    ledger.intend(AN_ACTION)

    assert synced


def test_what_was_released_is_forgotten(tmp_path: Path) -> None:
    """Nothing is undone twice after a restart."""
    ledger = Ledger(tmp_path, BOOT)
    ledger.intend(AN_ACTION)
    ledger.applied(AN_ACTION)
    ledger.released(1, ReleaseResult.RESTORED)
    ledger.close()

    assert live_in(tmp_path) == []
    assert (tmp_path / LEDGER_FILE).stat().st_size == 0


def test_records_of_another_boot_are_void(tmp_path: Path) -> None:
    """Run-time properties end with the boot; undoing them then would undo somebody else's."""
    ledger = Ledger(tmp_path, BOOT)
    ledger.intend(AN_ACTION)
    ledger.close()

    assert live_in(tmp_path, "boot-2") == []


def test_amid_a_step_both_values_are_known_as_ours(ledger: Ledger) -> None:
    """A crash leaves either of them; after the step only the new one is ours."""
    stepped = replace(AN_ACTION, changes=(Change("CPUQuotaPerSecUSec", "18446744073709551615", "100000"),))
    ledger.intend(AN_ACTION)
    ledger.applied(AN_ACTION)

    ledger.intend(stepped)
    assert ledger.live[1].written("CPUQuotaPerSecUSec") == {"200000", "100000"}

    ledger.applied(stepped)
    assert ledger.live[1].written("CPUQuotaPerSecUSec") == {"100000"}


def test_two_agents_cannot_run_at_once(ledger: Ledger, tmp_path: Path) -> None:
    """The second one is told who holds it."""
    with pytest.raises(ActError, match=rf"another brainkernel \(pid {os.getpid()}\)"):
        Ledger(tmp_path, BOOT)


def test_the_lock_goes_with_its_holder(tmp_path: Path) -> None:
    """After kill -9 nothing has to be cleaned up."""
    code = f"import os, pathlib; from brainkernel.act.ledger import Ledger; Ledger(pathlib.Path({str(tmp_path)!r}), 'b'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)

    Ledger(tmp_path, BOOT).close()


def test_a_full_disk_stops_new_limits_and_not_their_release(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The intent is refused without leaving half a line; a release that cannot be put down still counts."""
    ledger.intend(AN_ACTION)
    size = (tmp_path / LEDGER_FILE).stat().st_size
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:10]))

    with pytest.raises(ActError, match=r"no new limits: .*no space left"):
        ledger.intend(replace(AN_ACTION, id=2))
    assert (tmp_path / LEDGER_FILE).stat().st_size == size

    ledger.released(1, ReleaseResult.RESTORED)
    assert ledger.live == {}


def test_the_file_does_not_grow_without_end(tmp_path: Path) -> None:
    """While something always stands it is rewritten with that alone."""
    ledger = Ledger(tmp_path, BOOT)
    ledger.intend(AN_ACTION)
    big = replace(AN_ACTION, id=2, comm="x" * 100_000)
    for _ in range(2 * COMPACT_AT_BYTES // 100_000):
        ledger.intend(big)
        ledger.released(2, ReleaseResult.RESTORED)
    ledger.close()

    assert (tmp_path / LEDGER_FILE).stat().st_size < 1.2 * COMPACT_AT_BYTES
    assert live_in(tmp_path) == [AN_ACTION]


def test_a_ledger_is_compacted_while_one_limit_is_stepped_on_and_on(tmp_path: Path) -> None:
    """A program that grows all the time is followed all the time; more than we read back must never be written."""
    ledger = Ledger(tmp_path, BOOT)
    big = replace(AN_ACTION, why="x" * 100_000)

    for _ in range(2 * COMPACT_AT_BYTES // 100_000):
        ledger.intend(big)
        ledger.applied(big)
    ledger.close()

    assert (tmp_path / LEDGER_FILE).stat().st_size < 1.2 * COMPACT_AT_BYTES
    assert live_in(tmp_path) == [big]


def test_an_appended_record_after_a_torn_one_is_read(tmp_path: Path) -> None:
    """A torn line must not swallow the next one."""
    (tmp_path / LEDGER_FILE).write_bytes(b'12345678 {"kind":"inte')

    ledger = Ledger(tmp_path, BOOT)
    ledger.intend(AN_ACTION)
    ledger.close()

    assert live_in(tmp_path) == [AN_ACTION]


def test_a_huge_file_is_not_read_into_memory(tmp_path: Path) -> None:
    """It is not ours, or broken beyond use: an error that says so."""
    with (tmp_path / LEDGER_FILE).open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(ActError, match="more than we ever write"):
        Ledger(tmp_path, BOOT)


def a_written_ledger(directory: Path) -> list[bytes]:
    """Three limits, the second one released; gives the lines."""
    ledger = Ledger(directory, BOOT)
    for number in (1, 2, 3):
        ledger.intend(replace(AN_ACTION, id=number))
        ledger.applied(replace(AN_ACTION, id=number))
    ledger.released(2, ReleaseResult.RESTORED)
    ledger.close()
    return (directory / LEDGER_FILE).read_bytes().splitlines(keepends=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_torn_tail_loses_at_most_the_torn_record(data: st.DataObject) -> None:
    """Cut anywhere: every whole record before the cut counts, nothing after it does."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        lines = a_written_ledger(directory)
        cut = data.draw(st.integers(0, sum(map(len, lines))))
        (directory / LEDGER_FILE).write_bytes(b"".join(lines)[:cut])
        whole = b"".join(lines)[:cut].count(b"\n")

        live = {action.id for action in live_in(directory)}

        expected = {number for number in (1, 2, 3) if whole > 2 * (number - 1)} - ({2} if whole == len(lines) else set())
        assert live == expected


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_damage_costs_only_the_records_it_hits(data: st.DataObject) -> None:
    """Bytes overwritten anywhere: no crash, no invented action, and undamaged records still count."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        lines = a_written_ledger(directory)
        text = bytearray(b"".join(lines))
        at = data.draw(st.integers(0, len(text) - 1))
        junk = data.draw(st.binary(min_size=1, max_size=8))
        text[at : at + len(junk)] = junk
        (directory / LEDGER_FILE).write_bytes(text)

        live = live_in(directory)

        assert all(replace(action, id=1) == AN_ACTION for action in live)
        untouched = {1 + number for number in range(3) if _line_at(lines, at) not in (2 * number, 2 * number + 1) and number != 1}
        assert untouched - {1 + _line_at(lines, at + len(junk) - 1) // 2} <= {action.id for action in live}


def _line_at(lines: list[bytes], offset: int) -> int:
    for number, line in enumerate(lines):
        if offset < len(line):
            return number
        offset -= len(line)
    return len(lines)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=400))
def test_any_file_at_all_is_survived(content: bytes) -> None:
    """Whatever lies there, the agent starts with what it can read, and can write after it."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / LEDGER_FILE).write_bytes(content)
        ledger = Ledger(directory, BOOT)
        ledger.intend(AN_ACTION)
        ledger.close()

        assert AN_ACTION in live_in(directory)
