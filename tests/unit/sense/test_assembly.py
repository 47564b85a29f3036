from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from brainkernel.model import CLOCK_TICK_NS, Exec, FileId, Mark, ProcessKey
from brainkernel.sense import wire
from brainkernel.sense.assembly import EventAssembly
from brainkernel.sense.cgroups import CgroupMounts, CgroupPaths, read_cgroup
from brainkernel.sense.exepath import ExePaths
from support.wirebytes import an_ancestor, an_exec_record

GONE_TGID = 2**22 + 1  # above the largest pid there is


def an_assembly(paths: ExePaths | None = None) -> EventAssembly:
    proc = Path("/proc")
    return EventAssembly(proc, ExePaths(proc) if paths is None else paths, CgroupPaths(proc, CgroupMounts(None, has_named=False)))


def exec_of(data: bytes, assembly: EventAssembly | None = None) -> Exec:
    event = (assembly or an_assembly()).event_of(wire.record_of(data))
    assert isinstance(event, Exec)
    return event


def test_exec_of_a_process_that_is_gone_is_complete_but_for_what_only_it_could_tell() -> None:
    """A process that dies between event and look is the normal case."""
    event = exec_of(an_exec_record(tgid=GONE_TGID, filename=b"/nowhere/tool", lineage=(an_ancestor(GONE_TGID),)))

    assert event.exe == event.filename == "/nowhere/tool"
    assert event.argv == ("tool",)
    assert (event.cwd, event.cgroup, event.parent_exe) == ("", "", "")
    assert event.parent == ProcessKey.at(GONE_TGID, 1)
    assert event.parent_file == FileId(dev=7, ino=5, ctime_ns=6)


def test_exec_encodes_the_terminal_as_stat_does() -> None:
    """The kernel's 12 and 20 bits become the device number that a terminal's file has."""
    event = exec_of(an_exec_record(tgid=GONE_TGID, tty=136 << 20 | 300, loginuid=1000, sessionid=3))

    assert (event.tty, event.loginuid, event.sessionid) == (os.makedev(136, 300), 1000, 3)
    assert exec_of(an_exec_record(tgid=GONE_TGID)).tty == 0
    unset = exec_of(an_exec_record(tgid=GONE_TGID))
    assert (unset.loginuid, unset.sessionid) == (None, None)


def test_exec_of_a_script_takes_the_interpreter_the_kernel_named() -> None:
    """For a script argv[0] comes from its first line, and filename is the script."""
    event = exec_of(an_exec_record(tgid=GONE_TGID, filename=b"./job", argv=b"/bin/interp\0./job\0", flags=wire.ExecFlag.SCRIPT))

    assert (event.exe, event.filename) == ("/bin/interp", "./job")
    assert event.marks == frozenset()


def test_exec_carries_the_flags_of_the_kernel_as_marks() -> None:
    """What only the kernel could see."""
    flags = wire.ExecFlag.UNLINKED | wire.ExecFlag.MEMFD
    event = exec_of(an_exec_record(tgid=GONE_TGID, flags=flags, argv_total=10_000))

    assert event.marks == {Mark.MEMFD, Mark.ARGV_TRUNCATED}


def test_lineage_is_resolved_once_and_again_when_more_is_known() -> None:
    """Siblings share the work; an ancestor whose path turns up later gets it."""
    paths = ExePaths(Path("/proc"))
    assembly = an_assembly(paths)
    record = an_exec_record(tgid=GONE_TGID, lineage=(an_ancestor(GONE_TGID, ino=5),))

    before = exec_of(record, assembly)
    again = exec_of(record, assembly)
    paths.learn(FileId(dev=7, ino=5, ctime_ns=6), "/usr/bin/parent")
    after = exec_of(record, assembly)
    last = exec_of(record, assembly)

    assert before.ancestors is again.ancestors
    assert (before.parent_exe, after.parent_exe) == ("", "/usr/bin/parent")
    assert after.ancestors is last.ancestors


def test_exec_whose_exit_came_along_is_not_looked_up() -> None:
    """Its pid may be another's by now; what the record itself says is complete."""
    record = wire.record_of(an_exec_record(tgid=os.getpid()))

    asked = an_assembly().event_of(record)
    unasked = an_assembly().event_of(record, {(record.tgid, record.start_ns)})

    assert isinstance(asked, Exec)
    assert isinstance(unasked, Exec)
    assert (unasked.exe, unasked.argv, unasked.key) == (asked.exe, asked.argv, asked.key)
    assert (unasked.cwd, unasked.cgroup) == ("", "")


def test_a_known_program_started_again_in_the_same_way_is_the_same_event_but_for_its_time_and_process() -> None:
    """What was decoded and looked up once is not again; who it is this time always is."""
    assembly = an_assembly()
    record = an_exec_record(tgid=GONE_TGID, flags=wire.ExecFlag.REMEMBERED, lineage=(an_ancestor(GONE_TGID),))
    later = struct.pack("<QQI", 90, 7 * CLOCK_TICK_NS + 5, GONE_TGID + 1) + record[20:]

    first, again = assembly.events_of([record, later])

    assert isinstance(first, Exec)
    assert isinstance(again, Exec)
    assert (again.time_ns, again.key) == (90, ProcessKey(GONE_TGID + 1, 7 * CLOCK_TICK_NS))
    assert again == exec_of(later)
    assert again.ancestors is first.ancestors
    assert assembly.received[wire.ExecRecord] == 2


def test_a_repeated_start_gets_a_path_that_became_known_meanwhile() -> None:
    """What could not be found at first is not missing forever."""
    paths = ExePaths(Path("/proc"))
    assembly = an_assembly(paths)
    record = an_exec_record(tgid=GONE_TGID, flags=wire.ExecFlag.REMEMBERED, lineage=(an_ancestor(GONE_TGID, ino=5),))

    assembly.events_of([record])
    paths.learn(FileId(dev=7, ino=5, ctime_ns=6), "/usr/bin/parent")
    [after] = assembly.events_of([record])

    assert isinstance(after, Exec)
    assert after.parent_exe == "/usr/bin/parent"


def test_a_new_program_is_looked_up_each_time() -> None:
    """Somebody will think about where it runs: another process of the same kind runs somewhere else."""
    assembly = an_assembly()
    record = an_exec_record(tgid=os.getpid())

    events = [event for _ in range(2) for event in assembly.events_of([record])]

    assert [event.cwd for event in events if isinstance(event, Exec)] == ["", ""]
    assert not assembly._repeats


@pytest.mark.parametrize(
    "record",
    [
        an_exec_record(tgid=os.getpid(), flags=wire.ExecFlag.REMEMBERED, argv_hash=7),
        an_exec_record(tgid=os.getpid(), flags=wire.ExecFlag.REMEMBERED, argv=b"x" * 600 + b"\0"),
        an_exec_record(tgid=os.getpid(), flags=wire.ExecFlag.REMEMBERED | wire.ExecFlag.ARGV_FAULT, argv=b""),
    ],
    ids=["hashed", "too long for a hash", "unreadable"],
)
def test_a_known_program_that_is_judged_by_its_arguments_is_looked_up_each_time(record: bytes) -> None:
    """An interpreter is known and its next script is not: where that runs is evidence, and tells the agent's own from others'."""
    assembly = an_assembly()

    events = [event for _ in range(2) for event in assembly.events_of([record])]

    assert [event.cgroup for event in events if isinstance(event, Exec)] == [read_cgroup(Path("/proc"), os.getpid())] * 2
    assert not assembly._repeats


def test_the_memory_of_repeated_starts_is_bounded() -> None:
    """A flood of command lines, or of long ones, takes no more than the newest few."""
    assembly = an_assembly()
    many = [an_exec_record(tgid=GONE_TGID, flags=wire.ExecFlag.REMEMBERED, argv=b"%d\0" % i) for i in range(1000)]
    long = an_exec_record(tgid=GONE_TGID, flags=wire.ExecFlag.REMEMBERED, argv=b"x" * 4000 + b"\0")

    assembly.events_of(many)
    assembly.events_of([long])

    assert 0 < len(assembly._repeats) <= 256
    assert all(len(key) < 1024 for key in assembly._repeats)


def test_a_batch_counts_what_is_no_record_and_goes_on() -> None:
    """One bad record hides no other."""
    assembly = an_assembly()

    events = assembly.events_of([b"", an_exec_record(tgid=GONE_TGID)[:-1], an_exec_record(tgid=GONE_TGID)])

    assert len(events) == 1
    assert (assembly.undecodable, sum(assembly.received.values())) == (2, 1)


def test_a_new_program_whose_exit_is_in_the_same_batch_is_not_looked_up() -> None:
    """Its pid may be another's by now: here it is ours."""
    ended = wire.EXIT.struct.pack(70, 50, os.getpid(), wire.Kind.EXIT, 40, 0, 0, 0, 0, 0)
    paths = CgroupPaths(Path("/proc"), CgroupMounts(None, has_named=False))
    assembly = EventAssembly(Path("/proc"), ExePaths(Path("/proc")), paths)

    [alive] = assembly.events_of([an_exec_record(tgid=os.getpid())])
    gone, _ = assembly.events_of([an_exec_record(tgid=os.getpid()), ended])

    assert isinstance(alive, Exec)
    assert isinstance(gone, Exec)
    assert alive.cgroup
    assert gone.cgroup == ""
