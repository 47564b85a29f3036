from __future__ import annotations

import os
from pathlib import Path

from brainkernel.errors import SenseError
from brainkernel.model import Exec, Exit, FileId, Fork, ProcessEvent
from brainkernel.sense import wire
from brainkernel.sense.exepath import file_id_of, read_exe, read_start_ns
from brainkernel.sense.stream import StreamLoader, StreamOptions

OWN = os.getpid()
CHILD, GRANDCHILD = 2**22 + 1, 2**22 + 2  # above the largest pid there is
NOW_NS = 10_000_000_000


class Scripted(StreamLoader):
    """Gives the records it was made with."""

    name = "scripted"
    limits = ()

    def __init__(self, *records: wire.Record) -> None:
        super().__init__(StreamOptions(all_events=True, own_tgids=()))
        self._records = list(records)

    def fileno(self) -> int:
        raise SenseError

    def _begin(self) -> None:
        pass

    def _end(self) -> None:
        pass

    def _suppressed(self) -> dict[int, int]:
        return {}

    def _read(self, limit: int) -> list[wire.Record]:
        taken, self._records = self._records[:limit], self._records[limit:]
        return taken


def fork(tgid: int, parent: int) -> wire.ForkRecord:
    return wire.ForkRecord(NOW_NS, 0, tgid, 0, parent)


def exec_(tgid: int, filename: str = "", argv: tuple[str, ...] = ()) -> wire.ExecRecord:
    return wire.ExecRecord(NOW_NS, 0, 0, tgid, b"", 0, 1000, 1000, wire.NO_LOGINUID, 0, 0, False, "", filename, argv, b"")


def exit_(tgid: int) -> wire.ExitRecord:
    return wire.ExitRecord(NOW_NS, 0, tgid, 0)


def drained(*records: wire.Record) -> tuple[list[ProcessEvent], Scripted]:
    loader = Scripted(*records)
    return loader.drain(), loader


def test_process_that_ended_in_the_same_batch_is_not_looked_up() -> None:
    """Its pid is another's by now (here: this test's), whose file must not get into the event."""
    events, loader = drained(exec_(OWN, "/nowhere/tool", ("tool",)), exit_(OWN))

    start = events[0]
    assert isinstance(start, Exec)
    assert (start.exe, start.file, start.argv) == ("/nowhere/tool", None, ("tool",))
    assert loader.counters().mismatches() == []


def test_start_of_which_nobody_can_say_anything_is_counted_as_failed() -> None:
    """No name in the record and no process in /proc: the event is missing, and said to be."""
    events, loader = drained(exec_(CHILD))

    counters = loader.counters()
    assert events == []
    assert (counters.exec.failed, counters.lost, dict(counters.failures)) == (1, 1, {"gone": 1})
    assert counters.mismatches() == []


def test_living_process_is_read_from_proc() -> None:
    """File, start and arguments are those of the process that runs."""
    (event,), _ = drained(exec_(OWN))

    found = read_exe(Path("/proc"), OWN)
    assert found is not None
    assert isinstance(event, Exec)
    assert (event.exe, event.file) == (found[0], file_id_of(found[1]))
    assert event.key.start_ns == read_start_ns(Path("/proc"), OWN)
    assert event.argv


def test_lineage_is_that_of_the_forks() -> None:
    """A child runs its parent's program until it execs, also when each of them has ended by now."""
    events, _ = drained(fork(CHILD, OWN), fork(GRANDCHILD, CHILD), exec_(GRANDCHILD, "/nowhere/tool"), exit_(CHILD))

    start = events[2]
    assert [type(e) for e in events] == [Fork, Fork, Exec, Exit]
    assert isinstance(start, Exec)
    assert [a.key.tgid for a in start.ancestors[:2]] == [CHILD, OWN]
    assert start.parent_exe == start.ancestors[1].exe != ""
    assert isinstance(start.parent_file, FileId)


def test_changed_file_of_a_process_that_is_gone_is_no_file(tmp_path: Path) -> None:
    """What has that name now need not be what ran, so no gate may take the start for a known one."""
    program = tmp_path / "tool"
    program.write_text("new")

    (event,), _ = drained(exec_(CHILD, str(program)))

    assert isinstance(event, Exec)
    assert (event.exe, event.file) == (str(program), None)
